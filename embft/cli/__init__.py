"""The command line: parse, call, print. Everything that it does, another package does for it.

Start at `main.py`; `data.py` holds the commands on data, `commands.py` says how every command ends,
`plan_text.py` says what a plan will do, `tables.py` prints tables, `progress.py` shows a running
sweep, `console.py` is the terminal.
"""

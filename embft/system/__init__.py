"""The machine: processes and their memory, cores and devices, texts safe for a terminal.

`processes.py` measures and ends processes, `machine.py` says what there is to compute on, `text.py`
takes out of a text what a terminal would obey, `speedups.py` is the entry to what only saves time.
Knows nothing of trials or models.
"""

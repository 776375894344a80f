"""Leaderboard -> charts -> one HTML file. Draws what `embft.leaderboard` computed.

Start at `page.py`, which makes the page; `chart_list.py` finds the charts, which `charts/` draws,
`bundle.py` has the scripts and the policy that admits them, `export.py` writes charts as files,
`markdown.py` the short form, `background.py` a report while trials run, `drawer.py` pictures while
the page is made; `assets/` holds template, style sheet and script. The only importer of Altair;
computes nothing.
"""

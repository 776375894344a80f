"""From trial results to ranked tables. Computes everything the report shows; draws nothing.

`rows.py` holds the tables' types, `build.py` makes the leaderboard of a folder, `ranking.py` ranks
and compares (with `contests.py`), `decision.py` chooses what is recommended, `verdict.py` puts the
answer into sentences and `warnings.py` what a reader must know besides, `export.py` writes CSV and
JSON.
"""

"""From trial results to ranked tables. Computes everything the report shows; draws nothing.

`rows.py` holds the tables' types, `build.py` ranks and compares, `verdict.py` puts the answer into
sentences, `export.py` writes CSV and JSON.
"""

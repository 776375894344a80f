"""A finished trial's model in the hands of whoever serves it.

`export.py` writes a folder that plain sentence-transformers loads, `formats.py` adds ONNX and
OpenVINO to it, `push.py` uploads it; `compress.py` says what smaller embeddings cost in score;
`rerun.py` and `served.py` verify afterwards: a trial run again, and a model that something else
serves. Trains and ranks nothing; nothing here writes into a sweep.
"""

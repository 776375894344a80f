"""Pending trials through Ray Tune: the only importer of Ray.

`tune.py` gives trials to Tuners, `cluster.py` starts or joins a Ray, `broker.py` lets Ray's actors
ask the driver to run a trial, `follow.py` tells observers what happens, `settings.py` keeps Ray
lean and quiet. Knows no models and no leaderboard; Ray's own state is thrown away.
"""

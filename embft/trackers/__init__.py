"""Trackers: what a running sweep reports to elsewhere, one file each; `--tracker NAME` chooses.

A tracker is the class `Tracker` in a module of this package, or a user's own class, and an observer
(`results.observer`). `find.py` finds it by name. Does not decide what is tracked: trial folders are
the truth, and a tracker that fails costs no trial.
"""

"""Metrics: pure arithmetic over scores and labels. Knows no models, no files, no Ray."""

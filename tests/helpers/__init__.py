"""What tests of several packages share: commands run as users run them,
leaderboards, crash points.
"""

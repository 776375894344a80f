"""The charts of the report, each drawn from what `embft/leaderboard/<same name>.py` computes.

A module here is found by `report.chart_list` without being listed anywhere: a function with
`@chart(section, place)` draws. Computes nothing; what a chart says in words is computed too.
"""

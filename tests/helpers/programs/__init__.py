"""Programs that a test runs in a process of their own, by `tests.helpers.commands.program`.

Each prints what its test looks at; none is imported by a test.
"""

"""The tests: a folder for each package, `reliability/`, `end_to_end/`, and `helpers/`."""

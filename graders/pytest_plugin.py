"""The pytest plugin: fixtures, markers and options for checking rewards."""

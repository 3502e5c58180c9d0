"""Helpers of commands: options, specs and results as arguments, gates, and messages."""

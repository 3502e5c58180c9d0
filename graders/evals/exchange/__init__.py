"""Evals and runs in and out: pulled from a server, imported and exported, and as results files."""

"""Mutation testing of a spec: its mutants, and which of them its rows notice."""

"""Mutation testing of a spec: its mutants, and whether its rows notice them."""

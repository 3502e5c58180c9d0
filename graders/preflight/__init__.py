"""Preflight: checks that a spec fits a dataset, without calling a model."""

"""Preflight: does a spec fit a dataset? No model is called."""

"""Specs: what a spec model is, and how JSON becomes one."""

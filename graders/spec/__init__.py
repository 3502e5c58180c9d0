"""Specs: the base of all spec models, and the reading of their JSON."""

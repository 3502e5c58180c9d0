"""Attacks: families of samples that are wrong by construction, and a search for those that a grader rewards."""

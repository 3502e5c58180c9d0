"""Attacks: samples that are wrong by construction, in families, and the search for those that a grader pays."""

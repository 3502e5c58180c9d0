"""Reward audits: search a grader for rewards that a wrong answer can earn."""

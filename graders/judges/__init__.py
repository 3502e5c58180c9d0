"""Judges: verdicts from a model behind an endpoint, recorded, scripted or called in process."""

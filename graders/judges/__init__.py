"""Judges: clients for verdicts of models behind endpoints, recorded, scripted or in process."""

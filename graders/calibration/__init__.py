"""Calibration: rows with people's labels, how far a grader agrees with them, and probes of a judge's bias."""

"""Calibration: labelled rows, a grader's agreement with the labels, and probes of a judge's biases."""

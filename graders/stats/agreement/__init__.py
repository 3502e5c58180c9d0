"""How far a grader agrees with people: labels, raters, thresholds, and figures that are corrected by them."""

"""Agreement of a grader with people: labels, raters, thresholds, and pass rates corrected by them."""

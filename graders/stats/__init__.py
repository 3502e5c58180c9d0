"""Statistics of results files: summaries, intervals, agreement with labels, paired comparison."""

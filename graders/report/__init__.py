"""Reports: statistics and selected rows of a results file as HTML, terminal text, Markdown, JSON or JUnit."""

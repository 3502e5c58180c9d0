"""Reports: the figures and telling rows of a results file as HTML, terminal text, Markdown, JSON or JUnit."""

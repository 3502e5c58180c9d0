"""The session of an audit: rows with golds, a cache of graded samples, and facts of a spec's programs."""

"""Facts of a source that are known without running it, read by a process that parses it: imports to load before the fork."""

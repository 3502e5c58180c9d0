"""What is known of a source without running it: read by a process that parses it, and what to load for it before the fork."""

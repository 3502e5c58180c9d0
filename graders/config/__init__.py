"""graders.toml: which file is read, what it may set, and where it sends each model's name."""

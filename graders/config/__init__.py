"""graders.toml: which file is read, what it may set, where it sends each model's name, and what it says of tuning."""

"""The results file: append-only lines out, resumable, and read back."""

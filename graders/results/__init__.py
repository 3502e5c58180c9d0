"""The results file: written line by line, append-only and resumable, and read back."""

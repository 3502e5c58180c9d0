"""What commands share: options, specs and results as arguments, gates, and what is said on the way."""

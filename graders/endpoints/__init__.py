"""OpenAI-compatible endpoints: configuration, transport, concurrency and rate limits, spending."""

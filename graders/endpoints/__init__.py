"""OpenAI-compatible endpoints: calls, transport, concurrency and rate limits, spending."""

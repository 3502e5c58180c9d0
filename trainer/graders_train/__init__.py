"""Trains models for `grader serve --tuning`: supervised, preference and reinforcement fine-tuning with TRL.

It runs as a separate process that exchanges JSON lines on standard input and output (README.md beside this package is
the contract). It is the only part of the project that imports torch, and it imports nothing from `graders`: rewards
are requested over the pipe, so keys, caches and the sandbox stay with the server.
"""

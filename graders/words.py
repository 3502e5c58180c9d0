"""Numbers with their nouns, for messages."""

from __future__ import annotations


def counted(n: int, noun: str) -> str:
    """`1 row`, `1,234 rows`."""
    return f"1 {noun}" if n == 1 else f"{n:,} {noun}s"

"""Counts with their nouns, in the singular or plural."""

from __future__ import annotations


def plural(n: int, noun: str, many: str = "") -> str:
    """`1 row`, `2,000 rows`."""
    return f"{n:,} {noun if n == 1 else many or noun + 's'}"

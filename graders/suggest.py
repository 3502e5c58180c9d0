"""What was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """A question naming the closest known word, or "" when none is close."""
    close = difflib.get_close_matches(str(word), list(known), 1, 0.6)
    return f"Did you mean '{close[0]}'?" if close else ""

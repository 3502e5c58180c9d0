"""Ids in the service's form."""

from __future__ import annotations

import secrets
import string

BASE62 = string.digits + string.ascii_letters


def hex_id(prefix: str, created_at: int) -> str:
    """`prefix_` and 32 hex digits, the first 8 of them the time, as in the service's ids, so that ids sort by time."""
    return f"{prefix}_{created_at:08x}{secrets.token_hex(12)}"


def base62_id(prefix: str, length: int = 22) -> str:
    """`prefix-` and letters and digits."""
    return f"{prefix}-{''.join(secrets.choice(BASE62) for _ in range(length))}"


def item_id(run_id: str, n: int, created_at: int) -> str:
    """The id of a run's nth output item, from 0.

    It is computed from the run, the number and the time, so that it needs no column and a row keeps it when it is
    graded again after a crash.
    """
    return f"outputitem_{created_at:08x}{run_id[-16:]:0>16}{n:08x}"


def item_number(item_id: str) -> int | None:
    """The number in an id made by `item_id`; None for an id of another form."""
    try:
        return int(item_id[-8:], 16) if item_id.startswith("outputitem_") else None
    except ValueError:
        return None

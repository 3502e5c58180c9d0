"""Keeping what samples touch on few pages: each page that a sample touches is copied, since every look at an object writes
its reference count, and those copies are the largest cost of a sample.
"""

from __future__ import annotations

import sys

_STEP, _LARGEST = 16, 512  # bytes: sizes that Python's allocator serves from pools of equal blocks
_SMALLEST = 32  # of what can be made here
_IN_ROW = 8
_filling: list[bytes | int] = []


def fill_holes() -> None:
    """Use up the free blocks between objects, so that what is made from now on lies together."""
    for size in range(_SMALLEST, _LARGEST + 1, _STEP):
        at = [0] * _IN_ROW
        while at[-1] - at[-_IN_ROW] != (_IN_ROW - 1) * size and len(at) < 1000:
            filler = bytes(size - sys.getsizeof(b"")) if size > _SMALLEST else 10**6 + len(at)
            _filling.append(filler)
            at.append(id(filler))

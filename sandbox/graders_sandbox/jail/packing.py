"""Packing of objects onto few pages. Every access to an object writes its reference count and so copies its page in a
sample; these copies are the largest cost of a sample.
"""

from __future__ import annotations

import sys

#: Bytes: sizes that Python's allocator serves from pools of equal blocks.
_STEP, _LARGEST = 16, 512
#: Of what can be made here.
_SMALLEST = 32
_IN_ROW = 8
_filling: list[bytes | int] = []


def fill_holes() -> None:
    """Use up the free blocks between objects, so that later objects lie together."""
    for size in range(_SMALLEST, _LARGEST + 1, _STEP):
        at = [0] * _IN_ROW
        while at[-1] - at[-_IN_ROW] != (_IN_ROW - 1) * size and len(at) < 1000:
            filler = bytes(size - sys.getsizeof(b"")) if size > _SMALLEST else 10**6 + len(at)
            _filling.append(filler)
            at.append(id(filler))

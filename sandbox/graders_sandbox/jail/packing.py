"""Packing of objects onto few pages. Every access to an object writes its reference count and so copies its page in a
sample; these copies are the largest cost of a sample.
"""

from __future__ import annotations

import ctypes
import gc
import sys

#: Bytes: sizes that Python's allocator serves from pools of equal blocks, and of such a pool.
_STEP, _LARGEST = 16, 512
_POOL, _POOL_HEADER = 16 << 10, 48
#: Of what can be made here.
_SMALLEST = 32
#: Integers of that size.
_INTEGERS = 1_000_000
#: Holes of one size; another allocator than Python's own has other holes.
_MOST = 1000
#: Blocks in their order, from which a pool is known to be new.
_IN_ROW = 8
_filling: list[bytes | int] = []
#: Size -> the pool from which it was served when all others were full.
_newest: dict[int, int] = {}


def fill_holes() -> None:
    """Use up the free blocks between objects, so that later objects lie together.

    Python serves a size from a new pool when all others of that size are full, and a new pool's blocks in their order.
    """
    for size in range(_SMALLEST, _LARGEST + 1, _STEP):
        in_row = last = 0
        for _ in range(_MOST):
            filler = bytes(size - sys.getsizeof(b"")) if size > _SMALLEST else _INTEGERS + len(_filling)
            _filling.append(filler)
            at = id(filler)
            if at // _POOL == _newest.get(size):
                break
            if at % _POOL == _POOL_HEADER:
                in_row = 1
            else:
                in_row = in_row + 1 if in_row and at == last + size else 0
            if in_row == _IN_ROW:
                _newest[size] = at // _POOL
                break
            last = at


def freeze() -> None:
    """Exempt present objects from garbage collection before a fork."""
    gc.collect()  # it also empties the lists of freed objects that Python keeps, which lie on many pages
    gc.freeze()


def forget_lookups() -> None:
    """Empty Python's cache of attributes of types. Each new entry takes an old one's place and writes to its name."""
    ctypes.pythonapi.PyType_ClearCache()

"""Huge pages for the memory that samples are forked from, of which a fork copies one entry instead of 512."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from graders_sandbox.linux import sys as kernel

from .packing import fill_holes

#: Of x86-64, and of aarch64 with pages of 4 kB.
SIZE = 2 << 20
_RAW = 0  # PYMEM_DOMAIN_RAW


class _ArenaAllocator(ctypes.Structure):
    """PyObjectArenaAllocator of Python's C API: it brings the memory for objects, 1 MB at a time."""

    _fields_ = [(name, ctypes.c_void_p) for name in ("ctx", "alloc", "free")]


class _Allocator(ctypes.Structure):
    """PyMemAllocatorEx of Python's C API."""

    _fields_ = [(name, ctypes.c_void_p) for name in ("ctx", "malloc", "calloc", "realloc", "free")]


@contextmanager
def one_stretch() -> Iterator[None]:
    """Let objects that are made within this block lie on C's heap, which is one stretch of memory.

    Else each megabyte of them lies by itself between the libraries that packages load, with no room for a huge page. A
    megabyte of the block that is freed later stays reserved: Python would unmap it, which its address does not allow.
    """
    python = ctypes.PyDLL(None)
    python.PyMem_RawMalloc.restype = ctypes.c_void_p
    python.PyMem_RawFree.argtypes = [ctypes.c_void_p]
    mapped, raw = _ArenaAllocator(), _Allocator()
    python.PyObject_GetArenaAllocator(ctypes.byref(mapped))
    python.PyMem_GetAllocator(_RAW, ctypes.byref(raw))
    heap = _ArenaAllocator(raw.ctx, raw.malloc, raw.free)
    # glibc takes from the heap what is smaller than something that was freed before
    python.PyMem_RawFree(python.PyMem_RawMalloc(2 * SIZE))
    # memory that was mapped before must not be freed to the heap: from now on something of ours is in it
    fill_holes()
    python.PyObject_SetArenaAllocator(ctypes.byref(heap))
    try:
        yield
    finally:
        python.PyObject_SetArenaAllocator(ctypes.byref(mapped))


def use(memory: Iterable[tuple[int, int]]) -> int:
    """Move memory onto huge pages; returns how many were made.

    A page that a sample writes is still copied alone. Where the kernel makes none, before Linux 6.1 or without free ones,
    everything stays as it is.

    Args:
        memory: Start and end of stretches of this process's memory.
    """
    made = 0
    for start, end in memory:
        for at in range(-(-start // SIZE) * SIZE, end - SIZE + 1, SIZE):
            made += not kernel.prepared("madvise", at, SIZE, kernel.MADV_COLLAPSE)()
    return made

"""The beginning of every attack's program."""

#: The start of every program.
PRELUDE = r'''
import asyncio, atexit, concurrent.futures, ctypes, decimal, encodings.idna, errno, fcntl, fractions, functools, gc, json, math, mmap, os
import platform, random, re, resource, select, shutil, signal, socket, struct, subprocess, sys, tempfile, termios, threading
import time, traceback, types, uuid

THROUGH, NOTHING, UNCHANGED = 0.0, -1.0, -2.0
TMP = os.environ.get("TMPDIR", ".")
X86 = platform.machine() == "x86_64"
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def call(numbers, *arguments):
    """A raw system call; `numbers`: on x86_64, on aarch64."""
    number = numbers[0 if X86 else 1] if isinstance(numbers, tuple) else numbers
    converted = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    if libc.syscall(ctypes.c_long(number), *converted) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def number(error):
    """An error as a value that differs from every score."""
    return -1000.0 - error


def met(act, *arguments, **named):
    """The number of the error that the act meets; THROUGH when it succeeds."""
    try:
        act(*arguments, **named)
    except OSError as error:
        return number(error.errno)
    return THROUGH


def changing(path, act):
    """As `met`; UNCHANGED if the act reports success and the file did not change."""
    def facts():
        found = os.stat(path)
        return found.st_mode, found.st_mtime_ns
    try:
        before = facts()
        act()
        return UNCHANGED if facts() == before else THROUGH
    except OSError as error:
        return number(error.errno)


def all_met(acts):
    """The one error that all acts meet; raises if they differ."""
    errors = [met(*act) for act in acts]
    for error, act in zip(errors, acts):
        if error != errors[0]:
            raise AssertionError(f"{act}: {error}, and {acts[0]}: {errors[0]}")
    return errors[0]


def memory(pattern):
    """Matches of a pattern of bytes in all memory that can be found from here."""
    read, write = os.pipe2(os.O_NONBLOCK)
    starts = {id(o) for o in gc.get_objects()} | {id(f) for f in vars().values()} | {id(sys), id(b""), id(())}
    starts |= {ctypes.addressof(ctypes.c_char.in_dll(libc, "environ")), ctypes.cast(libc.malloc, ctypes.c_void_p).value}
    starts |= {ctypes.addressof(ctypes.create_string_buffer(size)) for size in (100, 10_000, 1_000_000)}
    write_at = libc.write
    write_at.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]

    def bytes_at(address, length):
        write_at(write, address, length)
        try:  # also where nothing can be read: before Linux 6.14 that leaves an empty page in the pipe, until it is full
            return os.read(read, length)
        except BlockingIOError:
            return b""

    seen, found, size = set(), [], 0
    for start in sorted(starts):
        for step in (1, -1):
            page = start // 65536 * 65536
            while page not in seen and page > 0 and size < 1 << 29:
                seen.add(page)
                got = bytes_at(page, 65536)
                if not got:
                    if step > 0:  # the block may begin with a hole
                        for small in range(page, page + 65536, 4096):
                            found += re.findall(pattern, bytes_at(small, 4096))
                    break
                found += re.findall(pattern, got)
                size += len(got)
                page += step * 65536
    os.close(read)
    os.close(write)
    if size < 1 << 20:
        raise AssertionError(f"only {size} bytes of memory could be looked at")
    return found


def run_code(*code):
    """Run machine code in memory of our own: written before it may be executed, or aarch64 would run what was there."""
    block = mmap.mmap(-1, 4096)
    block.write(bytes(code))
    address = ctypes.addressof(ctypes.c_char.from_buffer(block))
    if libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(4096), mmap.PROT_READ | mmap.PROT_EXEC):
        raise OSError(ctypes.get_errno(), "mprotect")
    return ctypes.CFUNCTYPE(ctypes.c_long)(address)()


def fill(folder, files, size, name="f"):
    """Files of this size; the error that ends it, or THROUGH when all are there."""
    for number in range(files):
        with open(f"{folder}/{name}{number}", "wb") as file:
            file.write(b"x" * size)
    return THROUGH


def harness():
    """The frames and the objects that the program can see of what runs it."""
    frame = sys._getframe()
    while frame:
        yield from frame.f_locals.values()
        frame = frame.f_back
    yield from gc.get_objects()


FRAME = struct.Struct("<cd")  # the wire's, see the package's protocol module
'''

"""Attacks that use more disk and files than is allowed: rows 20 to 24, and 43."""

from __future__ import annotations

from .matrix import FULL, LANDLOCK, NS, AttackCase, here

LIMITS = [
    AttackCase(22, "writing past the limit", here("EFBIG or ENOSPC"), "with_room = b'x' * (1 << 20)\ndef act():\n    with open('f', 'wb', buffering=0) as file:\n        for _ in range(64):\n            file.write(with_room)\nreturn met(act)", small_limits=True),
    AttackCase(22, "the same, not caught", here("disk OSError", "grade PermissionError"), "with open('f', 'wb') as file:\n    for _ in range(64):\n        file.write(b'x' * (1 << 20))\nreturn 1.0", small_limits=True),
    AttackCase(22, "a hole", here("EFBIG"), "def act():\n    with open('f', 'wb', buffering=0) as file:\n        file.seek(1 << 35)\n        file.write(b'x')\nreturn met(act)"),
    AttackCase(22, "a length", here("EFBIG"), "def act():\n    with open('f', 'wb') as file:\n        os.ftruncate(file.fileno(), 1 << 35)\nreturn met(act)"),
    AttackCase(22, "allocation", here("EFBIG or ENOSPC or EPERM"), "def act():\n    with open('f', 'wb') as file:\n        os.posix_fallocate(file.fileno(), 0, 1 << 30)\nreturn met(act)", small_limits=True),
    AttackCase(22, "a copy within the kernel", here("EFBIG or ENOSPC or disk"), "def act():\n    with open('f', 'wb') as file:\n        file.write(b'x' * (1 << 20))\n    with open('f', 'rb') as source, open('g', 'wb') as target:\n        for _ in range(64):\n            os.copy_file_range(source.fileno(), target.fileno(), 1 << 20, 0)\nreturn met(act)", small_limits=True),
]  # fmt: skip


def _disk(row: int, name: str, body: str, full: str = "ENOSPC", ns: str = "") -> AttackCase:
    """An attack that fills the own folder; the watcher ends it where the folder has no file system of its own."""
    return AttackCase(
        row,
        name,
        {FULL: full, LANDLOCK: f"disk or {full}", NS: ns or full},
        body + "\ntime.sleep(4)\nreturn THROUGH",
        small_limits=True,
    )


# The small limits: 16 MB, 400 inodes. In the container tier the watcher looks 20 times a second.
DISK = [
    _disk(23, "many files", "if error := met(fill, '.', 200, 1 << 20):\n    return error"),
    _disk(23, "in a deep folder", """
def act():
    for _ in range(60):
        os.mkdir('d' * 200)
        os.chdir('d' * 200)
    fill('.', 200, 1 << 20)
if error := met(act):
    return error"""),
    _disk(23, "in a folder that cannot be listed", "os.mkdir('d', 0o300)\nif error := met(fill, 'd', 200, 1 << 20):\n    return error"),
    _disk(23, "in deleted files that stay open", """
held = []
def act():
    for number in range(40):
        held.append(open('f', 'wb', buffering=0))
        os.unlink('f')
        held[-1].write(b'x' * (4 << 20))
if error := met(act):
    return error"""),
    _disk(23, "in files without a name", """
held = []
def act():
    for number in range(40):
        held.append(open(os.open('.', os.O_TMPFILE | os.O_RDWR), 'wb', buffering=0))
        held[-1].write(b'x' * (4 << 20))
if error := met(act):
    return error"""),
    _disk(23, "in deleted files that stay mapped", """
held = []
def act():
    for number in range(40):
        with open('f', 'w+b', buffering=0) as file:
            os.unlink('f')
            file.write(b'x' * (4 << 20))
            # as mmap.mmap does, but without keeping a descriptor
            call((9, 222), None, 4096, 1, 1, file.fileno(), 0)
if error := met(act):
    return error"""),
    _disk(23, "in folders that never stay in one place", """
os.mkdir('d0')
def move():
    at = 0
    while True:
        os.rename(f'd{at}', f'd{at + 1}')
        at += 1
error = met(fill, 'd0', 15, 1 << 20)
os.mkdir('e')
error = error or met(fill, 'e', 1, 1 << 19)
threading.Thread(target=move, daemon=True).start()
for number in range(100):
    try:
        error = error or met(fill, 'e', number, 1 << 20)
    except ValueError:
        pass
if error:
    return error"""),
    _disk(23, "through mapped pages", """
held = []
def act():
    for number in range(40):
        with open(f'f{number}', 'w+b', buffering=0) as file:
            os.ftruncate(file.fileno(), 4 << 20)
            with mmap.mmap(file.fileno(), 4 << 20) as block:
                for at in range(0, 4 << 20, 4096):
                    block[at] = 1
if error := met(act):
    return error""", full="ENOSPC or crash SIGBUS"),
    _disk(24, "files", "if error := met(fill, '.', 2000, 0):\n    return error"),
    _disk(24, "folders", "def act():\n    for number in range(2000):\n        os.mkdir(str(number))\nif error := met(act):\n    return error"),
    _disk(24, "links", "def act():\n    for number in range(2000):\n        os.symlink('x', str(number))\nif error := met(act):\n    return error"),
    _disk(24, "a chain of folders", "def act():\n    for number in range(2000):\n        os.mkdir('d')\n        os.chdir('d')\nif error := met(act):\n    return error"),
    AttackCase(23, "1.2 GB", {FULL: "ENOSPC", LANDLOCK: "disk or ENOSPC", NS: "ENOSPC"}, "if error := met(fill, '.', 19, 1 << 26):\n    return error\ntime.sleep(4)\nreturn THROUGH", timeout_s=100, default_limits=True),
    AttackCase(22, "1.2 GB", here("EFBIG or ENOSPC"), "block = b'x' * (1 << 24)\ndef act():\n    with open('f', 'wb', buffering=0) as file:\n        for _ in range(75):\n            file.write(block)\nreturn met(act)", timeout_s=100, default_limits=True),
    AttackCase(24, "60,000", {FULL: "ENOSPC", LANDLOCK: "disk or ENOSPC", NS: "ENOSPC"}, "if error := met(fill, '.', 60_000, 0):\n    return error\ntime.sleep(4)\nreturn THROUGH", timeout_s=100, default_limits=True),
    AttackCase(20, "2.5 GB, touched", "memory MemoryError", "held = []\nwhile len(held) < 160:\n    held.append(b'x' * (1 << 24))\nreturn THROUGH", timeout_s=100, default_limits=True),
    AttackCase(43, "until memory or time ends", "timeout wall or memory MemoryError or crash SIGSEGV or timeout cpu", "sys.setrecursionlimit(10**9)\ndef deeper():\n    return deeper()\nreturn deeper()", timeout_s=20, default_limits=True),
]  # fmt: skip

"""Modules that programs often import. Host and jail load them for programs that have not been read."""

#: What a model's code and its tests tend to import, and is small: loaded in the templates that they run in forks of.
MODULES = (
    "bisect", "collections", "copy", "functools", "heapq", "io", "itertools", "json", "math", "operator", "re", "string", "typing",
)  # fmt: skip
#: What they import less often, and every fork would pay for: loaded ahead only where nothing can be loaded later.
LARGER_MODULES = ("datetime", "decimal", "fractions", "hashlib", "random", "statistics")
#: What else a model's code may import where it has no files.
MODULES_WITHOUT_FILES = (
    *MODULES, *LARGER_MODULES, "abc", "argparse", "array", "ast", "asyncio", "atexit", "base64", "binascii", "calendar", "cmath", "concurrent.futures",
    "concurrent.futures.thread", "contextlib", "contextvars", "csv", "ctypes", "dataclasses", "difflib", "email.message",
    "encodings.idna", "enum", "errno", "fcntl", "fnmatch", "gc", "getpass", "glob", "graphlib", "gzip", "hmac", "html",
    "html.parser", "inspect", "ipaddress", "keyword", "locale", "logging", "lzma", "mmap", "numbers", "os", "pathlib",
    "pickle", "platform", "pprint", "queue", "reprlib", "resource", "sched", "secrets", "select", "selectors", "shlex", "shutil",
    "signal", "socket", "sqlite3", "stat", "struct", "subprocess", "sys", "tempfile", "termios", "textwrap", "threading", "time",
    "timeit", "token", "tokenize", "traceback", "types", "unicodedata", "unittest", "urllib.parse", "uuid", "warnings",
    "weakref", "xml.etree.ElementTree", "zlib", "zoneinfo",
)  # fmt: skip

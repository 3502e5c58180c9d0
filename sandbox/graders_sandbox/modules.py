"""Modules that programs often import. Host and jail load them for programs that have not been read."""

#: Small modules that a model's code and its tests often import; loaded in the templates that are forked for them.
MODULES = (
    "bisect", "collections", "copy", "functools", "heapq", "io", "itertools", "json", "math", "operator", "re", "string", "typing",
)  # fmt: skip
#: Less frequent modules, which would slow every fork; loaded before the fork only where none can be loaded after it.
LARGER_MODULES = ("datetime", "decimal", "fractions", "hashlib", "random", "statistics")
#: Modules that a model's code may import where it has no access to files.
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

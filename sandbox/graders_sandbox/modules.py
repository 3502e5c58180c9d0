"""Modules that programs tend to import: host and jail load them where nobody has read the program yet."""

#: What a model's code and its tests tend to import, loaded in the templates that they run in forks of.
MODULES = (
    "bisect", "collections", "copy", "datetime", "decimal", "fractions", "functools", "hashlib", "heapq", "io",
    "itertools", "json", "math", "operator", "random", "re", "statistics", "string", "typing",
)  # fmt: skip
#: What else it may import where it has no files, and so nothing can be loaded later.
MODULES_WITHOUT_FILES = (
    *MODULES, "abc", "argparse", "array", "ast", "asyncio", "atexit", "base64", "binascii", "calendar", "cmath", "concurrent.futures",
    "concurrent.futures.thread", "contextlib", "contextvars", "csv", "ctypes", "dataclasses", "difflib", "email.message",
    "encodings.idna", "enum", "errno", "fcntl", "fnmatch", "gc", "getpass", "glob", "graphlib", "gzip", "hmac", "html",
    "html.parser", "inspect", "ipaddress", "keyword", "locale", "logging", "lzma", "mmap", "numbers", "os", "pathlib",
    "pickle", "platform", "pprint", "queue", "reprlib", "resource", "sched", "secrets", "select", "selectors", "shlex", "shutil",
    "signal", "socket", "sqlite3", "stat", "struct", "subprocess", "sys", "tempfile", "termios", "textwrap", "threading", "time",
    "timeit", "token", "tokenize", "traceback", "types", "unicodedata", "unittest", "urllib.parse", "uuid", "warnings",
    "weakref", "xml.etree.ElementTree", "zlib", "zoneinfo",
)  # fmt: skip

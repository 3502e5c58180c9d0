"""Folders of samples: emptied whatever is in them, swept when their owner is gone."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from graders_sandbox import Sandbox, folders
from graders_sandbox.host import scratch
from tests.cases import first
from tests.sandbox.jails import need

DEEP = """
import os
def grade(sample, item):
    for n in range(3000):
        os.mkdir('d' * 50)
        os.chdir('d' * 50)
    open('f', 'w').close()
    os.mkdir('closed', 0)
    return 1.0
"""
LOOK = "import os\ndef grade(sample, item): return len(os.listdir(os.environ['TMPDIR']))"


@pytest.fixture(autouse=True)
def own_tmp(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.mark.parametrize("tier", first(2, ["linux-full", "linux-landlock", "linux-ns"]))
def test_a_nested_tree_is_deleted_before_the_next_sample(tier: str, tmp_path: Path) -> None:
    """Deeper than a path or a stack can be, with a folder that nobody may enter: the next sample finds nothing."""
    need(tier)
    with Sandbox(tier=tier, in_flight=1) as sandbox:
        outcome = sandbox.run(DEEP, {}, {})
        # Where a watcher bounds the disk, what it cannot count is too much: it may come before the end.
        assert outcome.value == 1.0 or (tier == "linux-landlock" and outcome.status == "disk"), outcome
        seen = [sandbox.run(LOOK, {}, {}).value for _ in range(6)]

    assert seen == [0.0] * 6
    assert os.listdir(tmp_path) == []


#: Each leaves something in the numbers of its folder.
TIMES = "import os\ndef grade(s, i):\n    os.utime('.', ns=(7_000_000_001, 9_000_000_002))\n    return 1.0"
MANY_NAMES = """
import os
def grade(sample, item):
    for n in range(400):
        open(f"{n:0200d}", "w").close()
    for name in os.listdir("."):
        os.unlink(name)
    return float(os.stat(".").st_size)
"""
#: The time of the last look is not always 0: the watcher looks, too.
NUMBERS = """
import os
def grade(sample, item):
    found = os.stat(".")
    return float({"times": found.st_mtime_ns + (found.st_atime_ns == 7_000_000_001), "size": found.st_size}[item])
"""


#: The folders of linux-landlock lie on the host's file system, where some stay as large as their names once needed: see README.
@pytest.mark.parametrize(
    ("left", "number", "tier"),
    [
        pytest.param(TIMES, "times", "linux-full", id="times, linux-full"),
        pytest.param(TIMES, "times", "linux-landlock", id="times, linux-landlock"),
        pytest.param(TIMES, "times", "linux-ns", id="times, linux-ns"),
        pytest.param(MANY_NAMES, "size", "linux-full", id="size, linux-full"),
        pytest.param(MANY_NAMES, "size", "linux-ns", id="size, linux-ns"),
    ],
)
def test_a_folders_numbers_do_not_carry_over(tier: str, left: str, number: str) -> None:
    """M4: two samples that cooperate may not pass a number on by the times or the size of their folder."""
    need(tier)
    with Sandbox(tier=tier, in_flight=1) as sandbox:
        before = {sandbox.run(NUMBERS, {}, number).value for _ in range(4)}
        assert [sandbox.run(left, {}, {}).status for _ in range(6)] == ["value"] * 6
        after = {sandbox.run(NUMBERS, {}, number).value for _ in range(6)}

    assert len(before) == 1
    assert after == before


def test_empty_follows_no_link(tmp_path: Path) -> None:
    """A link to a folder goes, the folder stays."""
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    (outside / "kept").touch()
    (inside / "a" / "b").mkdir(parents=True)
    (inside / "link").symlink_to(outside)
    (inside / "a" / "b" / "link").symlink_to(outside)
    (inside / "moved-0").mkdir()

    assert folders.empty(str(inside))
    assert os.listdir(inside) == []
    assert os.listdir(outside) == ["kept"]


def test_sweep_removes_unlocked_folders(tmp_path: Path) -> None:
    """A folder whose owner lives stays; one whose owner ended goes; one without a lock goes when it is old."""
    held, left, new, old = (
        scratch.Scratch(1),
        scratch.Scratch(2),
        f"graders-sandbox-{os.getuid()}-new",
        f"graders-sandbox-{os.getuid()}-old",
    )
    os.close(left.lock)
    for name in (new, old, "graders-sandbox-x", "else"):
        (tmp_path / name).mkdir()
    os.utime(tmp_path / old, (0, 0))

    scratch.sweep()

    assert sorted(os.listdir(tmp_path)) == sorted(
        [os.path.basename(held.path), new, "graders-sandbox-x", "else"]
    )
    held.remove()
    assert not os.path.exists(held.path)

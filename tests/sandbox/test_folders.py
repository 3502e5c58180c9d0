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
def test_a_nested_tree_is_gone_for_the_next(tier: str, tmp_path: Path) -> None:
    """Deeper than a path or a stack can be, with a folder that nobody may enter: the next sample finds nothing."""
    need(tier)
    with Sandbox(tier=tier, in_flight=1) as sandbox:
        outcome = sandbox.run(DEEP, {}, {})
        # Where a watcher bounds the disk, what it cannot count is too much: it may come before the end.
        assert outcome.value == 1.0 or (tier == "linux-landlock" and outcome.status == "disk"), outcome
        seen = [sandbox.run(LOOK, {}, {}).value for _ in range(6)]

    assert seen == [0.0] * 6
    assert os.listdir(tmp_path) == []


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


def test_sweep_takes_what_nobody_holds(tmp_path: Path) -> None:
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

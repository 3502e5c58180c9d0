"""Rewards that are to stay: a JSON file of them beside the tests, compared row by row.

{"spec": sha256 of the normalised spec, "engine": version, "tolerance": 1e-09,
 "rewards": {id: {"reward": 0.8, "sub_rewards": {"exact": 1.0}, "flags": []}}}
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from graders._version import __version__
from graders.engine.grader import Grader
from graders.result import RunResult

TOLERANCE = 1e-9  # beyond the last bits that another build of a library may change
SHOWN = 20  # differences


class GoldenChanged(AssertionError):
    """Rewards are not what the golden file says; the message lists them and says how to accept them."""


class Golden:
    """One golden file.

    Args:
        path: Where it is or will be.
        update: Write what is graded instead of comparing.
        parts: A folder into which updates go, to be merged into their golden files later by `merge`: for test runs
            of several processes. None: they go into the file at once.
    """

    def __init__(self, path: Path, *, update: bool = False, parts: Path | None = None) -> None:
        self.path = path
        self.update = update
        self._parts = parts

    def check(
        self, grader: Grader, results: RunResult | Iterable[RunResult], *, tolerance: float | None = None
    ) -> None:
        """Compare results with the file, or write them when updating.

        Args:
            results: One result: compared by its id, other rows of the file left alone. Several: they are all of the
                file's rows, so one that is missing is a difference too.
            tolerance: How far a reward may be from the file's; None: what the file says, 1e-9 in a new one.

        Raises:
            GoldenChanged: a reward, sub-reward or flag differs, a row is new or gone, or there is no file yet.
            ValueError: a result has no id, or two have the same.
        """
        whole = not isinstance(results, RunResult)
        rewards: dict[str, dict[str, Any]] = {}
        for result in (results,) if isinstance(results, RunResult) else results:
            if not result.id or result.id in rewards:
                raise ValueError(f"golden rewards go by id, and {result.id!r} is empty or there twice")
            rewards[result.id] = {
                "reward": result.reward,
                "sub_rewards": result.sub_rewards,
                "flags": list(result.flags),
            }
        old = read(self.path)
        if tolerance is None:
            tolerance = float(old.get("tolerance", TOLERANCE))
        if self.update:
            new = {"spec": grader.digest, "engine": __version__, "tolerance": tolerance, "rewards": rewards}
            if self._parts is None:
                write(self.path, new if whole else merged(old, new))
            else:
                self._leave_part(new, whole)
            return
        if not old:
            raise GoldenChanged(f"there is no {self.path} yet; run pytest with --grader-update to write it")
        differences = _differences(old["rewards"], rewards, tolerance, whole)
        if differences:
            raise GoldenChanged(self._message(differences, old, grader))

    def _leave_part(self, new: Mapping[str, Any], whole: bool) -> None:
        assert self._parts is not None
        part = {"path": str(self.path), "whole": whole, "new": new}
        name = f"{os.environ.get('PYTEST_XDIST_WORKER', 'main')}-{os.getpid()}.jsonl"
        with open(self._parts / name, "a", encoding="utf-8") as file:
            file.write(json.dumps(part) + "\n")

    def _message(self, differences: list[str], old: Mapping[str, Any], grader: Grader) -> str:
        lines = [f"{len(differences)} of the rewards in {self.path} changed:", *differences[:SHOWN]]
        if len(differences) > SHOWN:
            lines.append(f"... and {len(differences) - SHOWN} more")
        if old["spec"] != grader.digest:
            lines.append("the spec is another one than when the file was written")
        if old["engine"] != __version__:
            lines.append(f"the file was written by local-graders {old['engine']}; this is {__version__}")
        lines.append("if that is meant: pytest --grader-update")
        return "\n  ".join(lines)


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], tolerance: float, whole: bool) -> list[str]:
    lines = []
    for row_id, now in new.items():
        was = old.get(row_id)
        if was is None:
            lines.append(f"{row_id}: new, {now['reward']:g}")
            continue
        changes = _changed("", {"reward": was["reward"]}, {"reward": now["reward"]}, tolerance)
        changes += _changed("sub-reward ", was["sub_rewards"], now["sub_rewards"], tolerance)
        if was["flags"] != now["flags"]:
            changes.append(
                f"flags {', '.join(was['flags']) or 'none'} -> {', '.join(now['flags']) or 'none'}"
            )
        if changes:
            lines.append(f"{row_id}: {'; '.join(changes)}")
    if whole:
        lines += [
            f"{row_id}: gone, was {was['reward']:g}" for row_id, was in old.items() if row_id not in new
        ]
    return lines


def _changed(what: str, was: Mapping[str, float], now: Mapping[str, float], tolerance: float) -> list[str]:
    """What changed by more than the tolerance, with as many digits as tell the numbers apart."""
    changes = []
    for key in dict.fromkeys([*was, *now]):
        before, after = was.get(key), now.get(key)
        if before is None or after is None:
            changes.append(f"{what}{key} {before} -> {after}")
        elif abs(before - after) > tolerance:
            changes.append(f"{what}{key} {before!r} -> {after!r} ({after - before:+.3g})")
    return changes


def read(path: Path) -> dict[str, Any]:
    """A golden file's content; {} when there is none.

    Raises:
        ValueError: it is not a golden file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    if not isinstance(content, dict) or not {"spec", "engine", "rewards"} <= set(content):
        raise ValueError(f"{path} is not a file of golden rewards: it lacks spec, engine or rewards")
    return content


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Replace the file in one step, rows in order of their ids, so that versions can be compared as text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {**content, "rewards": dict(sorted(content["rewards"].items()))}
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    new.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    new.replace(path)


def merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """A file's content with some rows graded anew."""
    return {**new, "rewards": {**old.get("rewards", {}), **new["rewards"]}}


def merge(parts: Path) -> list[Path]:
    """Put what several processes left in a folder into the golden files; the files that were written."""
    contents: dict[Path, dict[str, Any]] = {}
    for file in sorted(parts.glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            part = json.loads(line)
            path = Path(part["path"])
            old = {} if part["whole"] else contents.get(path) or read(path)
            contents[path] = merged(old, part["new"])
    for path, content in contents.items():
        write(path, content)
    return list(contents)

"""Golden rewards: a JSON file of expected rewards beside the tests, compared row by row.

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

#: Largest accepted difference, above the last bits, which may depend on a library's build.
TOLERANCE = 1e-9
#: Differences that a message lists.
SHOWN = 20


class GoldenChanged(AssertionError):
    """Raised when rewards differ from the golden file; the message lists them and says how to accept them."""


class Golden:
    """One golden file.

    Args:
        path: The file, which need not exist.
        update: Whether to write the results instead of comparing them.
        parts: A folder for updates, which `merge` later merges into the golden files, for test runs of several
            processes. None: updates are written to the file at once.
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
            results: One result: compared by its id, other rows of the file are ignored. Several: all rows of the file,
                so that a missing one is a difference too.
            tolerance: Largest accepted difference of a reward; None: the file's, 1e-9 for a new one.

        Raises:
            GoldenChanged: a reward, sub-reward or flag differs, a row is new or missing, or the file does not exist.
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
    """The changes beyond the tolerance, with enough digits to show the difference."""
    changes = []
    for key in dict.fromkeys([*was, *now]):
        before, after = was.get(key), now.get(key)
        if before is None or after is None:
            changes.append(f"{what}{key} {before} -> {after}")
        elif abs(before - after) > tolerance:
            changes.append(f"{what}{key} {before!r} -> {after!r} ({after - before:+.3g})")
    return changes


def read(path: Path) -> dict[str, Any]:
    """The content of a golden file; {} when it does not exist.

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
    """Replace the file atomically, with rows sorted by id, so that versions can be diffed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {**content, "rewards": dict(sorted(content["rewards"].items()))}
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    new.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    new.replace(path)


def merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """A file's content with some rows replaced."""
    return {**new, "rewards": {**old.get("rewards", {}), **new["rewards"]}}


def merge(parts: Path) -> list[Path]:
    """Merge the updates of several processes into the golden files; returns the changed files."""
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

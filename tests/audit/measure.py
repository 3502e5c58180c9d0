"""How many graders the checks and the attack find, and how long they take: `python -m tests.audit.measure [check|attack] [SET...]`.

The sets are public, unseen, reported and further; without a name all of them in one run.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import graders
from graders.audit import attack
from graders.config.config import Config
from graders.testing import check_reward
from tests.audit import further, public_graders, reported, unseen_graders
from tests.audit.public_graders import PublicGrader

SETS = {"public": public_graders, "unseen": unseen_graders, "reported": reported, "further": further}


def by_check(grader: PublicGrader, backends: graders.Backends) -> list[str]:
    """The checks that accuse a grader; a slow machine is no flaw, and a note no accusation."""
    found = check_reward(grader.spec, grader.rows, backends=backends, skip=["latency"])
    return list(dict.fromkeys(f.check for f in found if f.severity != "note"))


def by_attack(grader: PublicGrader, backends: graders.Backends) -> list[str]:
    """The families of samples that break a grader."""
    return list(dict.fromkeys(e.family for e in attack(grader.spec, grader.rows, backends=backends)))


def processor_s() -> float:
    """Processor time of this process and of all that it started, those that have ended included, in seconds."""
    spent: dict[int, tuple[int, float]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        # the process has ended meanwhile
        with suppress(OSError):
            # what stands behind the name, which may have blanks in it: state, parent, ..., four times from the twelfth on
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            spent[int(folder.name)] = int(fields[1]), sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    ours = {os.getpid()}
    while more := {pid for pid, (parent, _) in spent.items() if parent in ours} - ours:
        ours |= more
    return sum(spent[pid][1] for pid in ours)


def run(accuse: Callable[[PublicGrader, graders.Backends], Iterable[str]], names: Iterable[str]) -> None:
    times: dict[str, list[tuple[float, float]]] = {"with a program": [], "local": []}
    with graders.Backends(config=Config()) as backends:
        for name in names:
            for kind, entries in (("flawed", SETS[name].FLAWED), ("sound", SETS[name].SOUND)):
                accused = 0
                for entry in entries:
                    started, spent = time.perf_counter(), processor_s()
                    found = list(accuse(entry, backends))
                    took = time.perf_counter() - started, processor_s() - spent
                    times["with a program" if '"source"' in json.dumps(entry.spec) else "local"].append(took)
                    accused += bool(found)
                    if bool(found) == (kind == "sound"):
                        print(
                            f"  {name}, {kind} {entry.name}: {', '.join(found) or 'nothing found'}",
                            flush=True,
                        )
                print(f"{name}, {kind}: {accused} of {len(entries)} accused", flush=True)
    for kind, pairs in times.items():
        if pairs:
            wall, processor = map(statistics.median, zip(*pairs, strict=True))
            print(f"{len(pairs)} graders {kind}: median {wall:.2f} s, {processor:.2f} s of the processor")


if __name__ == "__main__":
    way, *named = sys.argv[1:] or ["check"]
    run({"check": by_check, "attack": by_attack}[way], named or SETS)

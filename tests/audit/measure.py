"""How many graders the checks and the attack find: `python -m tests.audit.measure [check|attack] [public|unseen|reported|further]`."""

from __future__ import annotations

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
        with suppress(OSError):  # it has ended meanwhile
            # what stands behind the name, which may have blanks in it: state, parent, ..., four times from the twelfth on
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            spent[int(folder.name)] = int(fields[1]), sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    ours = {os.getpid()}
    while more := {pid for pid, (parent, _) in spent.items() if parent in ours} - ours:
        ours |= more
    return sum(spent[pid][1] for pid in ours)


def run(
    accuse: Callable[[PublicGrader, graders.Backends], Iterable[str]],
    flawed: list[PublicGrader],
    sound: list[PublicGrader],
) -> None:
    with graders.Backends(config=Config()) as backends:
        for name, entries in (("flawed", flawed), ("sound", sound)):
            seconds, of_processor, accused = [], [], 0
            for entry in entries:
                started, spent = time.perf_counter(), processor_s()
                found = list(accuse(entry, backends))
                seconds.append(time.perf_counter() - started)
                of_processor.append(processor_s() - spent)
                accused += bool(found)
                if bool(found) == (name == "sound"):
                    print(f"  {name} {entry.name}: {', '.join(found) or 'nothing found'}")
            print(
                f"{name}: {accused} of {len(entries)} accused, median {statistics.median(seconds):.1f} s"
                f" and {statistics.median(of_processor):.1f} s of the processor"
            )


if __name__ == "__main__":
    way, which = [*sys.argv[1:], *("check", "public")[len(sys.argv) - 1 :]]
    run({"check": by_check, "attack": by_attack}[way], SETS[which].FLAWED, SETS[which].SOUND)

"""How many graders the checks and the attack find: `python -m tests.audit.measure [check|attack] [public|unseen|reported]`."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterable

import graders
from graders.audit import attack
from graders.config.config import Config
from graders.testing import check_reward
from tests.audit import public_graders, reported, unseen_graders
from tests.audit.public_graders import PublicGrader


def by_check(grader: PublicGrader, backends: graders.Backends) -> list[str]:
    """The checks that accuse a grader; a slow machine is no flaw, and a note no accusation."""
    found = check_reward(grader.spec, grader.rows, backends=backends, skip=["latency"])
    return list(dict.fromkeys(f.check for f in found if f.severity != "note"))


def by_attack(grader: PublicGrader, backends: graders.Backends) -> list[str]:
    """The families of samples that break a grader."""
    return list(dict.fromkeys(e.family for e in attack(grader.spec, grader.rows, backends=backends)))


def run(
    accuse: Callable[[PublicGrader, graders.Backends], Iterable[str]],
    flawed: list[PublicGrader],
    sound: list[PublicGrader],
) -> None:
    with graders.Backends(config=Config()) as backends:
        for name, entries in (("flawed", flawed), ("sound", sound)):
            seconds, accused = [], 0
            for entry in entries:
                started = time.perf_counter()
                found = list(accuse(entry, backends))
                seconds.append(time.perf_counter() - started)
                accused += bool(found)
                if bool(found) == (name == "sound"):
                    print(f"  {name} {entry.name}: {', '.join(found) or 'nothing found'}")
            print(f"{name}: {accused} of {len(entries)} accused, median {statistics.median(seconds):.1f} s")


if __name__ == "__main__":
    way, which = [*sys.argv[1:], *("check", "public")[len(sys.argv) - 1 :]]
    graders_of = {"public": public_graders, "unseen": unseen_graders, "reported": reported}[which]
    run({"check": by_check, "attack": by_attack}[way], graders_of.FLAWED, graders_of.SOUND)

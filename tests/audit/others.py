"""The same graders by other public tools, where these are installed: `python -m tests.audit.others [SET...]`.

reward-doctor: a program of one text reference; caught where it accepts an exploit of its corpus or a tenth of what it should not.
rewardprobe: replies that are texts; caught where a finding is critical, two probes
aside. evalmut: the same; caught where a hole is left, with
content_required declared. Programs are run in this process: they are ours.
"""

from __future__ import annotations

import importlib.util
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

import graders
from graders.config.config import Config
from tests.audit.measure import SETS
from tests.audit.public_graders import PublicGrader

#: Probes of rewardprobe that are left out: for state, which fires on nearly every grader without any; and for a task without its
#: fields, which no row here lacks.
NOT_ABOUT_GRADERS = ("state_leak", "missing_column")

Reward = Callable[[str, dict[str, Any]], float]


def reward_of(entry: PublicGrader, backends: graders.Backends) -> Reward | None:
    """The grader as a function of text and item; None where its golds are no texts or it needs the sandbox."""
    if not all(isinstance(row["gold"], str) for row in entry.rows):
        return None
    source = entry.spec.get("source", "")
    if "graders_sandbox" in source or '"source"' in str(entry.spec.get("graders", "")):
        return None
    if not source:
        grader = graders.compile(entry.spec, backends=backends)
        return lambda text, item: grader.run(text, item).reward
    module: dict[str, Any] = {}
    exec(compile(source, entry.name, "exec"), module)
    return lambda text, item: float(module["grade"]({"output_text": text}, item))


def by_reward_doctor(entry: PublicGrader, reward: Reward) -> bool | None:
    from reward_doctor.audit import audit

    item = entry.rows[0]["item"]
    if {name for name in item if name != "question"} != {"answer"} or not isinstance(item["answer"], str):
        return None
    found = audit(
        lambda completion, reference: reward(completion, {**item, "answer": reference}), threshold=0.5
    )
    return bool(found.exploits_accepted) or found.false_positive_rate > 0.1


def by_rewardprobe(entry: PublicGrader, reward: Reward) -> bool:
    from rewardprobe import NormalizedEnvironment, NormalizedRewardFn, Probe, Severity

    def safe(text: str, task: dict[str, Any]) -> float:
        return reward(text, task["item"])

    tasks = [
        {"prompt": row["item"].get("question", ""), "answer": str(row["gold"]), "item": row["item"]}
        for row in entry.rows
    ]
    environment = NormalizedEnvironment(
        name=entry.name, reward_fns=[NormalizedRewardFn(name="grade", fn=safe)], tasks=tasks
    )
    report = Probe()._run_attacks(environment)
    found = [
        one for family in report.families for one in family.findings if one.attack not in NOT_ABOUT_GRADERS
    ]
    return any(one.severity is Severity.CRITICAL for one in found)


def by_evalmut(entry: PublicGrader, reward: Reward) -> bool:
    from evalmut import EvalCase, run
    from gradecore import GradeInput, Verdict

    def case(row: dict[str, Any]) -> Any:
        def grade(given: Any) -> Any:
            score = reward(given.text, row["item"])
            return Verdict(score >= 0.5, score, "none" if score >= 0.5 else "high", "", entry.name)

        return EvalCase(str(row["id"]), grade, GradeInput(text=row["gold"]), content_required=True)

    return bool(run([case(row) for row in entry.rows]).holes)


TOOLS = {"reward_doctor": by_reward_doctor, "rewardprobe": by_rewardprobe, "evalmut": by_evalmut}


def main(names: Iterable[str]) -> None:
    with graders.Backends(config=Config()) as backends:
        for name, tool in TOOLS.items():
            if importlib.util.find_spec(name) is None:
                print(f"{name}: not installed")
                continue
            for which in names:
                for kind, some in (("flawed", SETS[which].FLAWED), ("sound", SETS[which].SOUND)):
                    used, accused, seconds = 0, 0, []
                    for entry in some:
                        reward = reward_of(entry, backends)
                        started = time.perf_counter()
                        try:
                            found = None if reward is None else tool(entry, reward)
                        except Exception as error:
                            # an error of the tool counts as not usable, and is printed
                            print(f"  {name} {entry.name}: {type(error).__name__}: {error}")
                            found = None
                        if found is not None:
                            used, accused = used + 1, accused + found
                            seconds.append(time.perf_counter() - started)
                    print(
                        f"{name}, {which}, {kind}: {accused} of {used} accused (of {len(some)}),"
                        f" median {statistics.median(seconds):.2f} s",
                        flush=True,
                    )


if __name__ == "__main__":
    main(sys.argv[1:] or SETS)

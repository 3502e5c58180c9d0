"""Runs the checks over the catalog. `python -m tests.audit.catalog_tables` writes the tables of docs/reward-checks.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import graders
from graders.config.config import Config
from graders.judges.scripted import Answer, ReceivedRequest, ScriptedJudge, say
from graders.testing import Finding, check_reward
from tests.audit.catalog import FLAWED, SOUND, Entry

DOCS = Path(__file__).parents[2] / "docs" / "reward-checks.md"
BEGIN, END = "<!-- made by tests/audit/catalog_tables.py -->\n", "<!-- end -->"


@contextmanager
def asking(entry: Entry, shared: graders.Backends) -> Iterator[graders.Backends]:
    """The backends of an entry: a judge of its own where it needs one."""
    if entry.judge is None:
        yield shared
        return
    verdict = entry.judge

    def answer(received: ReceivedRequest) -> object:
        reply: Answer = say({"steps": [], "result": verdict("\n".join(received.texts))})
        return reply(received) if callable(reply) else reply

    with ScriptedJudge(answer) as judge:  # type: ignore[arg-type]  # its answer is a step
        where = {"base_url": judge.base_url, "api_key_env": "", "structured": "json_schema"}
        with graders.Backends(config=Config({"models": {"*": where}})) as backends:
            yield backends


def findings(entry: Entry, shared: graders.Backends) -> list[Finding]:
    with asking(entry, shared) as backends:
        return check_reward(entry.spec, entry.rows, backends=backends, **entry.options)


def names(found: Iterable[Finding]) -> list[str]:
    """The checks that found something, each once; latency left out, which is the machine's."""
    return [name for name in dict.fromkeys(finding.check for finding in found) if name != "latency"]


def tables(caught: dict[str, list[str]]) -> str:
    """The catalog as two Markdown tables; `caught` holds what was found for each name."""
    lines = ["| grader | type | its flaw | found by |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {e.name} | {e.spec['type']} | {e.about} | {', '.join(caught[e.name]) or '**nothing**'} |"
        for e in FLAWED
    ]
    lines += ["", "| grader | type | what makes it sound | accused by |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {e.name} | {e.spec['type']} | {e.about} | {', '.join(caught[e.name]) or '-'} |" for e in SOUND
    ]
    return "\n".join(lines) + "\n"


def run_all() -> dict[str, list[str]]:
    with graders.Backends(config=Config()) as shared:
        caught = {entry.name: findings(entry, shared) for entry in (*FLAWED, *SOUND)}
        # a note accuses nobody
        notes = {entry.name for entry in SOUND}
        return {
            name: names(f for f in found if name not in notes or f.severity != "note")
            for name, found in caught.items()
        }


def written() -> str:
    """The tables as they stand in the docs."""
    return DOCS.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]


if __name__ == "__main__":
    text = DOCS.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    DOCS.write_text(before + BEGIN + tables(run_all()) + END + rest.partition(END)[2], encoding="utf-8")

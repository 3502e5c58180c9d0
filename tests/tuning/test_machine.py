"""A state machine of jobs: no sequence of calls, deaths and messages leaves the table of states, loses or repeats an event.

The supervisor is the real one, on a real store. Its trainer is a list of things that happen, calls of clients in between.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from graders.config.config import Config
from graders.config.tuning import tuning_config
from graders.engine.backends import Backends
from graders.store import Cursor, Store
from graders.tuning import execution
from graders.tuning.execution import KEPT
from graders.tuning.service import Jobs
from graders.tuning.states import ENDED, STATUSES, NoTransition
from graders.tuning.supervisor import Supervisor
from tests.tuning.support import MODEL, rows

TOTAL = 6
CALLS = ("cancel", "pause", "resume")
#: What may happen while a trainer is at work, one after the other; after the last it leaves without a word.
HAPPENINGS = st.lists(
    st.sampled_from(
        (
            "step",
            "step",
            "step",
            "save",
            "checkpoint",
            "stopped",
            "failed",
            "server dies",
            "message lost",
            *CALLS,
        )
    )
)


class ServerDied(BaseException):
    """Nothing of the server runs any more."""


class Trainer:
    """In the place of the process: says what the test wants, and what a trainer has to say again after a resume."""

    at_work: ClassVar[set[Path]] = set()
    happenings: Sequence[str] = ()
    jobs: Jobs

    def __init__(self, command: Any, environment: Any, log: Path, lock: Path | None = None) -> None:
        self._folder = log.parent
        assert self._folder not in self.at_work, "two trainers in one folder"
        self.at_work.add(self._folder)

    def send(self, kind: str, **fields: Any) -> None:
        pass

    def messages(self) -> Iterator[Mapping[str, Any]]:
        state = self._folder / "state"
        saved = int(state.read_text()) if state.exists() else 0
        for step in range(1, saved + 1):
            yield from self._step(step)
            if (self._folder / f"ckpt-step-{step}").exists():
                yield {"type": "checkpoint", "step": step, "metrics": {}}
        step = saved
        for happening in self.happenings:
            if happening == "step":
                step += 1
                yield from self._step(step)
                if step == TOTAL:
                    state.write_text(str(step))
                    yield {"type": "done", "step": step, "trained_tokens": step}
                    return
            elif happening == "save":
                state.write_text(str(step))
                yield {"type": "saved", "step": step}
            elif happening == "checkpoint" and step:
                self._keep(step)
                yield {"type": "checkpoint", "step": step, "metrics": {}}
            elif happening == "message lost" and step:
                # the server dies with it in the pipe
                self._keep(step)
                raise ServerDied
            elif happening == "server dies":
                raise ServerDied
            elif happening in CALLS:
                with suppress(NoTransition):
                    self.jobs.act(happening, self._folder.name)
            elif happening == "stopped":
                state.write_text(str(step))
                yield {"type": "stopped", "step": step}
                return
            elif happening == "failed":
                yield {"type": "failed", "code": "server_error", "message": "it failed"}
                return

    def _keep(self, step: int) -> None:
        """As the trainer: the adapter first, then what is resumed from."""
        (self._folder / f"ckpt-step-{step}").mkdir(exist_ok=True)
        (self._folder / "state").write_text(str(step))

    def _step(self, step: int) -> Iterator[Mapping[str, Any]]:
        yield {"type": "step", "step": step, "total_steps": TOTAL, "metrics": {"train_loss": 1 / step}}

    def close(self) -> None:
        self.at_work.discard(self._folder)

    def kill(self) -> None:
        pass

    def log_end(self) -> str:
        return ""


class TuningMachine(RuleBasedStateMachine):
    """Jobs, a supervisor that trains them when it is told to, and everything that can come between."""

    @initialize()
    def begin(self) -> None:
        self._home = tempfile.TemporaryDirectory()
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(execution, "Worker", Trainer)
        self._store = Store(Path(self._home.name))
        self._backends = Backends(config=Config({}))
        self._config = tuning_config(Config({"tuning": {"models": {MODEL: "base"}}}))
        self._jobs = Trainer.jobs = Jobs(self._store, self._config.models)
        content = Path(self._home.name, "rows.jsonl")
        content.write_text("".join(json.dumps(row) + "\n" for row in rows()))
        with content.open("rb") as opened:
            self._file = self._store.files.add_from(opened, purpose="fine-tune", filename="rows.jsonl").id
        self._made: list[str] = []
        self._seen: dict[str, list[str]] = {}
        self._ended: set[str] = set()
        self._supervisor = Supervisor(self._store, self._backends, self._config)

    @rule()
    def create(self) -> None:
        job = self._jobs.create({"model": MODEL, "training_file": self._file})
        self._made.append(self._jobs.validate(job.id).id)

    @rule(action=st.sampled_from(CALLS), at=st.integers(0, 9))
    def call(self, action: str, at: int) -> None:
        if self._made:
            with suppress(NoTransition):
                self._jobs.act(action, self._made[at % len(self._made)])

    @rule(happenings=HAPPENINGS)
    def train(self, happenings: list[str]) -> None:
        Trainer.happenings = happenings
        try:
            self._supervisor.train_queued()
        except ServerDied:
            # the pipe has ended, so the trainer leaves; the next server begins
            Trainer.at_work.clear()
            self._supervisor = Supervisor(self._store, self._backends, self._config)
            self._supervisor.recover()

    @invariant()
    def nothing_is_lost_or_said_twice(self) -> None:
        for job_id in getattr(self, "_made", ()):
            job = self._jobs.get(job_id)
            events = self._store.jobs.events(job_id, Cursor(limit=1000)).rows
            said = [event.id for event in events]
            before = self._seen.get(job_id, [])
            assert said[: len(before)] == before
            if job_id in self._ended:
                assert said == before, "an ended job says nothing more"
            if job.status in ENDED:
                self._ended.add(job_id)
            self._seen[job_id] = said
            steps = [event.message for event in events if event.type == "metrics"]
            assert steps == [f"Step {n}/{TOTAL}: training loss={1 / n:.2f}" for n in range(1, len(steps) + 1)]
            kept = self._store.jobs.checkpoints(job_id, Cursor(limit=100)).rows
            assert len(kept) <= KEPT
            if job.status == "succeeded":
                folders = Path(self._home.name, "jobs", job_id).glob("ckpt-step-*")
                assert {f"ckpt-step-{one.step}" for one in kept} == {folder.name for folder in folders}
            made = [event.message for event in events if event.message.startswith("Checkpoint created")]
            assert len(made) == len(set(made))
            assert job.status in STATUSES
            assert (job.status in ENDED) == (job.finished_at is not None)
            assert (
                (job.status == "succeeded")
                == (job.fine_tuned_model is not None)
                == (job.trained_tokens == TOTAL)
            )
            assert (job.status == "failed") == (job.error is not None)
            assert job.status != "running", "nobody is at work between two rules"

    def teardown(self) -> None:
        if hasattr(self, "_store"):
            self._patch.undo()
            Trainer.at_work.clear()
            self._store.close()
            self._backends.close()
            self._home.cleanup()


TestTuningMachine = TuningMachine.TestCase
TestTuningMachine.settings = settings(max_examples=12, stateful_step_count=10, deadline=None)


@pytest.mark.slow
def test_the_state_machine_holds_for_many_sequences() -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        TuningMachine, settings=settings(max_examples=100, stateful_step_count=30, deadline=None)
    )

"""A third set of graders modelled on public reports, each flawed one beside its repair; frozen before the checks were changed again."""

from tests.audit.reported import calls, choices, code, numbers, records, texts, verdicts
from tests.audit.reported.grading import FLAWED, SOUND

__all__ = ["FLAWED", "SOUND", "calls", "choices", "code", "numbers", "records", "texts", "verdicts"]

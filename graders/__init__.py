"""Run and validate OpenAI-style graders on your own machine.

    import graders

    result = graders.run(spec, sample, item)
    result.reward, result.ok, result.metadata

Importing this module loads light standard-library modules only; a name's home is loaded when it is first touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graders._version import __version__
from graders.lazy import lazy_names

if TYPE_CHECKING:
    from graders.batch.frame import grade_frame
    from graders.engine.backends import Backends
    from graders.engine.compile import arun, compile, run, validate
    from graders.engine.functions import python
    from graders.engine.grader import Grader
    from graders.errors import GradeError, Problem, SpecError
    from graders.result import RunResult

_HOMES = {
    "Backends": "graders.engine.backends",
    "GradeError": "graders.errors",
    "Grader": "graders.engine.grader",
    "Problem": "graders.errors",
    "RunResult": "graders.result",
    "SpecError": "graders.errors",
    "arun": "graders.engine.compile",
    "compile": "graders.engine.compile",
    "grade_frame": "graders.batch.frame",
    "python": "graders.engine.functions",
    "run": "graders.engine.compile",
    "validate": "graders.engine.compile",
}

__all__ = [
    "Backends",
    "GradeError",
    "Grader",
    "Problem",
    "RunResult",
    "SpecError",
    "__version__",
    "arun",
    "compile",
    "grade_frame",
    "python",
    "run",
    "validate",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)

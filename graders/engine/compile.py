"""Compiles specs to Graders; `validate`, `run` and `arun` are its shortcuts."""

from __future__ import annotations

import copyreg
from collections.abc import Mapping
from functools import partial
from typing import Any

from graders.engine.backends import Backends
from graders.engine.configured import embedded_fields, problems_here
from graders.engine.grader import Grader
from graders.errors import Problem, SpecError
from graders.kinds.reading import read
from graders.result import RunResult
from graders.spec.reading import load

_default_backends: Backends | None = None


def default_backends() -> Backends:
    """The backends of graders compiled without their own, from graders.toml and the environment, made once."""
    global _default_backends
    if _default_backends is None:
        import atexit

        _default_backends = Backends.from_env()
        atexit.register(_default_backends.close)
    return _default_backends


def compile(spec: object, *, backends: Backends | None = None, strict: bool = False) -> Grader:
    """Check a spec and make the Grader that runs it.

    Args:
        spec: A dict, JSON text, a path, an object with `model_dump()`, or a Grader, which is returned as it is.
        backends: They answer its asks; None: the ones that graders.toml and the environment configure.
        strict: Refuse what the service would refuse but we accept.

    Raises:
        SpecError: with every problem of the spec; or the spec needs an embedder (cosine) and none is configured.
    """
    if isinstance(spec, Grader):
        return spec
    source = load(spec)
    checked = read(source, strict=strict)
    backends = backends or default_backends()
    try:
        options = backends.options
    except ValueError as error:
        raise SpecError(
            [Problem("", f"the configuration is not valid: {error}", "invalid_config")]
        ) from error
    problems = problems_here(checked.spec, source, backends)
    if missing := [problem for problem in problems if problem.severity == "error"]:
        raise SpecError(missing)
    try:
        if embedded_fields(checked.spec):
            # an invalid [embeddings] table is reported now, not by every row
            _ = backends.embedder
        return Grader(checked.spec, backends, options, (*checked.warnings, *problems))
    except (ValueError, ImportError) as error:
        # invalid metric options of the configuration, or a library that is not installed
        raise SpecError([Problem("", str(error), "invalid_config")]) from error


def _reduced(grader: Grader) -> tuple[Any, ...]:
    """A grader is pickled as its spec and backends, and compiled again; the default backends are the reader's own."""
    backends = None if grader.backends is _default_backends else grader.backends
    return partial(compile, grader.spec.to_json(), backends=backends), ()


# registered here, since the Grader class does not depend on this module
copyreg.pickle(Grader, _reduced)


def validate(spec: object, *, strict: bool = False) -> dict[str, Any]:
    """The normalised spec: canonical words, the service's defaults filled in.

    Raises:
        SpecError: with every problem at once, each with its path, message and code.
    """
    if isinstance(spec, Grader):
        return spec.spec.to_wire()
    return read(load(spec), strict=strict).spec.to_wire()


def run(
    spec: object,
    sample: object,
    item: Mapping[str, Any] | None = None,
    *,
    backends: Backends | None = None,
    strict: bool = False,
) -> RunResult:
    """Compile and grade one row. For many rows compile once and use `Grader.run` or `Grader.run_batch`."""
    return compile(spec, backends=backends, strict=strict).run(sample, item)


async def arun(
    spec: object,
    sample: object,
    item: Mapping[str, Any] | None = None,
    *,
    backends: Backends | None = None,
    strict: bool = False,
) -> RunResult:
    """As `run`, from async code."""
    return await compile(spec, backends=backends, strict=strict).arun(sample, item)

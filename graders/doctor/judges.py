"""Diagnoses of judges: their routes, and whether they answer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from graders.doctor.diagnosis import Diagnosis, NamedSpec

if TYPE_CHECKING:
    from graders.engine.backends import Backends
    from graders.models import Config

#: `api` of a route -> the path of requests.
_PATHS = {"chat": "chat/completions", "responses": "responses"}


def judges(backends: Backends, specs: Sequence[NamedSpec], *, probe: bool) -> Iterator[Diagnosis]:
    """The routes of specs' judges, or without specs those of graders.toml.

    Args:
        probe: Whether each is asked one small question.
    """
    try:
        config = backends.config
    except ValueError as error:
        yield Diagnosis("judges", "graders.toml", False, str(error))
        return
    yield Diagnosis(
        "judges",
        "configuration",
        None if config.path is None else True,
        str(config.path or "no graders.toml found"),
    )
    # name -> whether it is shown images
    models: dict[str, bool] = (
        {} if specs else {name: False for name in config.routes if not name.endswith("*")}
    )
    for spec in specs:
        if spec.problem:
            yield Diagnosis("judges", spec.name, False, f"not a valid spec: {spec.problem}")
        for leaf in spec.leaves:
            if (model := leaf.judge()) is not None:
                models[model] = models.get(model, False) or '"input_image"' in json.dumps(leaf.to_json())
    for model, images in sorted(models.items()):
        yield from _probed(config, model, images) if probe else (_routed(config, model),)


def _routed(config: Config, model: str) -> Diagnosis:
    route = config.route(model)
    key = (
        "no key" if not route.api_key_env else route.api_key_env + (" (set)" if route.key() else " (not set)")
    )
    address = f"{route.base_url}{' (Azure)' if route.azure or route.api_version else ''}"
    return Diagnosis(
        "judges", model, None, f"{address}, /{_PATHS[route.api]}, model {route.model or model}, {key}"
    )


def _probed(config: Config, model: str, images: bool) -> Iterator[Diagnosis]:
    """One tiny question; where the spec shows images, one about a tiny image, too."""
    from graders.models import probe

    found = probe(config, model, image=images)
    where = config.route(model).base_url
    if not found.ok:
        yield Diagnosis("judges", model, False, f"{where}: {found.message}")
        return
    tokens = found.usage.total_tokens
    parts = (
        f"{where} {found.message}",
        f"as {found.sampled_model}",
        found.structured,
        f"{found.latency_s:.2f} s",
        "usage not reported" if tokens is None else f"{tokens} tokens",
    )
    yield Diagnosis("judges", model, True, ", ".join(parts))
    if found.sees_images is not None:
        yield Diagnosis("judges", f"{model}, images", found.sees_images, found.image_message)

"""Models by their names on the wire: configured base models, tuned models and checkpoints."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from graders.config.tuning import TuningConfig
from graders.store import Store
from graders.tuning.folders import adapter_name, jobs_folder


class UndeletableModel(ValueError):
    """Raised for a model that only the configuration can remove."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model that can be used.

    Attributes:
        base: The base model's name on the wire.
        adapter: The folder of the trained adapter; None: the base model itself.
    """

    name: str
    base: str
    adapter: Path | None = None


class Models:
    """The models of one server. Thread-safe."""

    def __init__(self, store: Store, config: TuningConfig) -> None:
        self._store = store
        self._config = config

    def find(self, name: str) -> Model | None:
        """The model of a name. Names are looked up, never used as paths."""
        if name in self._config.models:
            return Model(name, name)
        found = self._store.jobs.model(name)
        if found is None or found.base not in self._config.models:
            return None
        return Model(name, found.base, jobs_folder(self._store) / found.job_id / adapter_name(found.step))

    def listed(self) -> Sequence[tuple[str, int]]:
        """Name and time of each model."""
        return [*((name, 0) for name in self._config.models), *self._store.jobs.models()]

    def delete(self, name: str) -> bool:
        """Delete a tuned model or a checkpoint with its adapter; returns whether it existed.

        Raises:
            UndeletableModel: it is a base model.
        """
        if name in self._config.models:
            raise UndeletableModel(f"{name[:80]} is a base model: take it out of [tuning.models] instead.")
        model = self.find(name)
        deleted = self._store.jobs.delete_model(name)
        if deleted and model is not None and model.adapter is not None:
            shutil.rmtree(model.adapter, ignore_errors=True)
        return deleted

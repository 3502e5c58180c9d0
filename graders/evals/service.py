"""The operations on evals and runs, for the server and the command line."""

from __future__ import annotations

import json
import time
from typing import Any

from graders.engine.backends import Backends
from graders.evals.criteria import read_criteria
from graders.evals.requests import Fields, InvalidRequest, NotFound
from graders.evals.schemas import ItemSchema, read_config
from graders.evals.sources import DataSource, check_inline, read_source
from graders.jsontext import dumps
from graders.spec.wording import missing
from graders.store import EvalRecord, RunRecord, Store
from graders.store.ids import hex_id

NAME_CHARS = 1024


class Evals:
    """Operations with checks and changes. Plain reads use the store directly."""

    def __init__(self, store: Store, backends: Backends, *, strict: bool = False) -> None:
        """
        Args:
            backends: Backends of the criteria.
            strict: Whether to refuse criteria that the service would refuse.
        """
        self.store = store
        self.backends = backends
        self.strict = strict

    def create(self, body: Any) -> EvalRecord:
        """Create an eval.

        Args:
            body: The request: `data_source_config`, `testing_criteria`, and perhaps `name` and `metadata`.

        Raises:
            InvalidRequest: it is not valid; nothing was stored.
        """
        fields = Fields(body, "")
        metadata, name = fields.metadata(), _name(fields)
        for required in ("data_source_config", "testing_criteria"):
            if fields.value.get(required) is None:
                raise InvalidRequest(missing(required), required, "missing_required_parameter")
        config = read_config(fields.value["data_source_config"])
        criteria = read_criteria(fields.value["testing_criteria"], self.backends, strict=self.strict)
        now = int(time.time())
        record = EvalRecord(
            hex_id("eval", now),
            now,
            now,
            name or "",
            metadata,
            dumps(config).decode(),
            dumps(criteria).decode(),
        )
        self.store.evals.add(record)
        return record

    def get(self, eval_id: str) -> EvalRecord:
        """
        Raises:
            NotFound: it does not exist.
        """
        record = self.store.evals.get(eval_id)
        if record is None:
            raise NotFound("eval", eval_id)
        return record

    def update(self, eval_id: str, body: Any) -> EvalRecord:
        """Change the name, or replace the metadata.

        Raises:
            NotFound, InvalidRequest
        """
        fields = Fields(body, "")
        metadata = fields.metadata() if fields.value.get("metadata") is not None else None
        if not self.store.evals.update(eval_id, name=_name(fields), metadata=metadata):
            raise NotFound("eval", eval_id)
        return self.get(eval_id)

    def delete(self, eval_id: str) -> None:
        """Delete an eval with its runs; runs in progress end.

        Raises:
            NotFound: it does not exist.
        """
        if not self.store.evals.delete(eval_id):
            raise NotFound("eval", eval_id)

    def create_run(self, eval_id: str, body: Any) -> RunRecord:
        """Create a queued run.

        Args:
            body: The request: `data_source`, and perhaps `name` and `metadata`.

        Raises:
            NotFound: the eval does not exist.
            InvalidRequest: the data source is not valid.
        """
        record = self.get(eval_id)
        fields = Fields(body, "")
        metadata, name = fields.metadata(), _name(fields)
        if fields.value.get("data_source") is None:
            raise InvalidRequest(missing("data_source"), "data_source", "missing_required_parameter")
        source = read_source(fields.value["data_source"], self.backends.options.values)
        self._check_rows(source, item_schema(record))
        now = int(time.time())
        run_id = hex_id("evalrun", now)
        number = self.store.runs.add(
            run_id=run_id,
            eval_id=eval_id,
            created_at=now,
            name=name or "",
            model=source.model,
            metadata=metadata,
            data_source=dumps(source.wire).decode(),
            criteria=[one["id"] for one in json.loads(record.testing_criteria)],
        )
        if number is None:
            raise NotFound("eval", eval_id)
        return self.get_run(eval_id, run_id)

    def _check_rows(self, source: DataSource, schema: ItemSchema | None) -> None:
        """Check the rows, if they are known already.

        Raises:
            InvalidRequest: they are not valid.
        """
        wanted = source.source.get("id", "")
        if source.inline is not None:
            check_inline(source.inline, schema)
        elif source.source["type"] == "file_id" and self.store.files.get(wanted) is None:
            raise InvalidRequest(f"No such File object: {wanted[:80]}", "data_source.source.id")
        elif source.source["type"] == "run" and self.store.runs.get(wanted) is None:
            raise InvalidRequest(str(NotFound("run", wanted)), "data_source.source.id")

    def get_run(self, eval_id: str, run_id: str, *, source: bool = True) -> RunRecord:
        """
        Args:
            source: Read its data source too, as in RunTable.get.

        Raises:
            NotFound: the eval has no such run.
        """
        run = self.store.runs.get(run_id, eval_id, source=source)
        if run is None:
            raise NotFound("run", run_id)
        return run

    def cancel_run(self, eval_id: str, run_id: str) -> RunRecord:
        """Cancel a run; one that has ended stays unchanged.

        Raises:
            NotFound: the eval has no such run.
        """
        self.store.runs.end(self.get_run(eval_id, run_id, source=False).number, "canceled")
        return self.get_run(eval_id, run_id)

    def delete_run(self, eval_id: str, run_id: str) -> None:
        """Delete a run with its items; a run in progress ends.

        Raises:
            NotFound: the eval has no such run.
        """
        if not self.store.runs.delete(run_id, eval_id):
            raise NotFound("run", run_id)


def _name(fields: Fields) -> str | None:
    name = fields.text("name")
    return None if name is None else name[:NAME_CHARS]


def item_schema(record: EvalRecord) -> ItemSchema | None:
    """The schema of an eval's items; None without one."""
    config = json.loads(record.data_source_config)
    return ItemSchema(config["schema"]["properties"]["item"]) if config["type"] == "custom" else None


def has_samples(record: EvalRecord) -> bool:
    """Whether the rows of an eval have a sample beside their item."""
    return "sample" in json.loads(record.data_source_config)["schema"]["properties"]

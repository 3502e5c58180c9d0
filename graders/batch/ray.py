"""Grading on a Ray cluster (extra `[ray]`): in a Ray Data pipeline, or as the engine of `grader batch`.

    import ray
    from graders.batch.ray import GradeBatch, unique

    graded = ray.data.read_parquet(path).map_batches(
        GradeBatch, fn_constructor_args=[spec], batch_format="pyarrow", batch_size=1000,
        compute=ray.data.ActorPoolStrategy(size=4))
    for table in unique(graded.iter_batches(batch_format="pyarrow")):
        ...

Every actor compiles the spec once and has its own sandbox and judge connections, so limits on endpoints hold for each
actor, not for all together. A row that cannot be graded gets flags and never raises, since an exception would fail the
whole job. Importing this module does not import ray.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from graders.datasets.ids import IdSet, content_id, own_id
from graders.datasets.rows import DataError
from graders.datasets.tables import arrow_rows
from graders.fields import FieldMap, detect_fields, item_of, sample_of
from graders.results.lines import LineWriter, WorkersLost

if TYPE_CHECKING:
    from graders.batch.chunks import RowChunk
    from graders.engine.grader import Grader
    from graders.results.lines import ResultChunk

#: Rows that an actor gets at once, and that are graded again when it is lost.
PART_ROWS = 2000
#: The same for graders that ask, whose rows cost money and are waited for on Ctrl-C.
ASKING_ROWS = 200
#: Chunks per actor: one in work, one waiting.
UNDER_WAY = 2


class GradeBatch:
    """A callable class for `ray.data.Dataset.map_batches` with `batch_format="pyarrow"`.

    Calling it with a table gives one with a row for each: `id` (text), `reward` (float64, null where the row failed),
    `ok` (bool), `flags` and `errors` (lists of texts), for a multi `sub_rewards.KEY` (float64) each, and the columns
    named by `keep`.

    Args:
        spec: As `graders.compile` takes it.
        sample_field, item_field, id_field: Fields of these in a row; None: by the hosted shapes (see `detect_fields`).
            Rows without an id get a hash of the whole row.
        keep: Columns of the data to carry along.
        config: Path of graders.toml on the actor's machine; None: GRADERS_CONFIG, else searched upward.

    Raises:
        SpecError: the spec is not valid.
        DataError: the fields cannot be found in the first row of a batch.
    """

    def __init__(
        self,
        spec: object,
        *,
        sample_field: str | None = None,
        item_field: str | None = None,
        id_field: str | None = None,
        keep: Sequence[str] = (),
        config: str | None = None,
    ) -> None:
        import graders

        self.grader = graders.compile(spec, backends=graders.Backends(config=config))
        self._fields: dict[str, Any] = {"sample": sample_field, "item": item_field, "row_id": id_field}
        self._keep = list(keep)

    def __call__(self, batch: Any) -> Any:
        import pyarrow as pa

        rows = list(arrow_rows(batch))
        field_map = detect_fields(rows[0], **self._fields) if rows else FieldMap()
        ids = [own_id(row, field_map) or content_id(row) for row in rows]
        results = list(
            self.grader.run_batch(
                _fields(row, row_id, field_map) for row, row_id in zip(rows, ids, strict=True)
            )
        )
        texts = pa.list_(pa.string())
        columns = {
            "id": pa.array(ids, pa.string()),
            "reward": pa.array([r.reward if r.ok else None for r in results], pa.float64()),
            "ok": pa.array([r.ok for r in results], pa.bool_()),
            "flags": pa.array([list(r.flags) for r in results], texts),
            "errors": pa.array([[str(failure) for failure in r.failures] for r in results], texts),
        }
        for key in getattr(self.grader.spec, "graders", ()):
            values = [None if key in r.failed_members else r.sub_rewards.get(key) for r in results]
            columns[f"sub_rewards.{key}"] = pa.array(values, pa.float64())
        return pa.table(columns | {name: batch.column(name) for name in self._keep})


def _fields(row: Mapping[str, Any], row_id: str, field_map: FieldMap) -> dict[str, Any]:
    return {"sample": sample_of(row, field_map), "item": item_of(row, field_map), "id": row_id}


def unique(tables: Iterable[Any]) -> Iterator[Any]:
    """Tables without rows whose id was in an earlier row: blocks that Ray delivers twice, and equal rows without ids.

    Takes 8 to 24 bytes a row of memory.
    """
    seen = IdSet()
    for table in tables:
        ids = table.column("id").to_pylist()
        if seen.add_new(ids):
            yield table
            continue
        fresh = [seen.add_new((row_id,)) for row_id in ids]
        yield table.filter(fresh)


class Actors:
    """Workers on a Ray cluster (see `graders.batch.chunks.Workers`). A context manager that releases Ray at its end.

    An actor that dies is restarted and its chunk graded again; the results of a chunk arrive once or not at all.

    Args:
        n: Number of actors; None: one for each of the cluster's CPUs.
        address: The cluster's address; None: the cluster of this process, else a new one on this machine.

    Raises:
        DataError: ray is not installed, or there is no cluster at the address.
    """

    def __init__(self, grader: Grader, n: int | None = None, *, address: str | None = None) -> None:
        try:
            import ray
        except ImportError:
            raise DataError("the ray engine needs ray: pip install 'local-graders[ray]'") from None
        self._ray = ray
        self._grader = grader
        self._begun = not ray.is_initialized()
        if self._begun:
            try:
                ray.init(address=address, log_to_driver=False, logging_level="ERROR", include_dashboard=False)
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise DataError(f"no Ray cluster at {address or 'this machine'}: {error}") from None
        self._n = n or max(1, int(ray.cluster_resources().get("CPU", 1)))

    def grade(self, lines: LineWriter, parts: Iterator[RowChunk]) -> Iterator[ResultChunk]:
        """The graded chunks, in any order.

        Raises:
            WorkersLost: the cluster is lost, or an actor cannot start (it needs this version of local-graders).
        """
        from graders.batch.chunks import cut

        ray = self._ray
        remote = ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=-1)(_Actor)
        config = self._grader.backends.config
        handed_over = (lines.grader.spec.to_json(), config, lines.field_map, lines.texts, lines.merge)
        actors = [remote.remote(*handed_over) for _ in range(self._n)]
        small = cut(parts, ASKING_ROWS if lines.grader.kind.n_asks else PART_ROWS)
        asked: dict[Any, Any] = {}
        try:
            for actor in actors * UNDER_WAY:
                if (part := next(small, None)) is not None:
                    asked[actor.grade.remote(*part)] = actor
            while asked:
                (ready, *_), _ = ray.wait(list(asked), num_returns=1)
                actor = asked.pop(ready)
                piece = ray.get(ready)
                if (part := next(small, None)) is not None:
                    asked[actor.grade.remote(*part)] = actor
                yield piece
        except ray.exceptions.RayError as error:
            raise WorkersLost(f"the Ray cluster: {error}") from error

    def __enter__(self) -> Actors:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._begun:
            self._ray.shutdown()


class _Actor:
    """The remote class: one compiled grader with its own sandbox and connections."""

    def __init__(
        self, spec: Mapping[str, Any], config: Any, field_map: FieldMap, texts: bool, merge: bool | None
    ) -> None:
        import graders

        grader = graders.compile(spec, backends=graders.Backends(config=config))
        self._lines = LineWriter(grader, field_map, texts=texts, merge=merge)

    def grade(self, chunk: Any, ids: list[str]) -> ResultChunk:
        return self._lines.grade(chunk, ids)

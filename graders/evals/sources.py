"""Data sources of runs: their rows, and the prompt for a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from typing import Any, BinaryIO

from graders.evals.prompts import Prompt
from graders.evals.requests import Fields, InvalidRequest
from graders.evals.schemas import ItemSchema
from graders.jsontext import VALUES_MAX, dumps, dumps_sorted, has_more_values, loads
from graders.spec.wording import missing
from graders.store import NewItem, Store
from graders.store.tables.completions import CompletionFilter

#: Type of a data source -> its sources of rows. "run": the samples of another run (an extension).
SOURCES = {
    "jsonl": ("file_content", "file_id", "run"),
    "completions": ("file_content", "file_id", "stored_completions"),
    "responses": ("file_content", "file_id", "responses"),
}
#: Type of a data source -> the API whose logged requests it uses.
APIS = {"completions": "chat", "responses": "responses"}
#: Of one row of a file.
LINE_BYTES = 32 * 1024**2
MOST_ROWS = 1_000_000
PROBLEMS_SHOWN = 20
#: Rows added to the store in one transaction.
CHUNK = 1000


class SourceError(Exception):
    """Raised when the rows of a run cannot be read, so that the run fails."""

    code = "invalid_data_source"


@dataclass(frozen=True, slots=True)
class DataSource:
    """A checked data source.

    Attributes:
        type: "jsonl", "completions" or "responses".
        source: Its `source`, unchanged.
        prompt: The prompt for each row; None: rows have their own samples.
        model: The model to sample from.
        sampling: Its `sampling_params`, unchanged.
        wire: The data source in the form of the run's response.
    """

    type: str
    source: Mapping[str, Any]
    prompt: Prompt | None
    model: str | None
    sampling: Mapping[str, Any]
    wire: Mapping[str, Any]

    @property
    def inline(self) -> list[Any] | None:
        """The rows in the request itself."""
        content: list[Any] | None = (
            self.source.get("content") if self.source["type"] == "file_content" else None
        )
        return content


def read_source(raw: Any, values: str = "json") -> DataSource:
    """Check a run's `data_source`.

    Raises:
        InvalidRequest: it has another form.
    """
    fields = Fields(raw, "data_source")
    kind = fields.choice("type", tuple(SOURCES))
    source = fields.object("source")
    match source.choice("type", SOURCES[kind]):
        case "file_content":
            source.need("content", list, "an array")
        case "file_id" | "run":
            source.need("id", str, "a string")
        case _:
            _selection(kind, source)
    if kind == "jsonl":
        return DataSource(kind, source.value, None, None, {}, fields.value)
    messages = fields.get("input_messages", dict, "an object")
    prompt = None if messages is None else Prompt(Fields(messages, fields.at("input_messages")), values)
    model = fields.text("model")
    if prompt is not None and not model:
        raise InvalidRequest(missing("data_source.model"), "data_source.model", "missing_required_parameter")
    sampling = fields.get("sampling_params", dict, "an object") or {}
    wire = {"sampling_params": None, **fields.value}
    if prompt is not None:
        wire["input_messages"] = prompt.wire
    return DataSource(kind, source.value, prompt, model, sampling, wire)


def _selection(kind: str, source: Fields) -> CompletionFilter:
    """The selection of logged completions of a source."""
    metadata = source.get("metadata", dict, "an object") or {}
    return CompletionFilter(
        APIS[kind],
        source.text("model"),
        [(key, str(value)) for key, value in metadata.items()],
        source.get("created_after", int, "an integer"),
        source.get("created_before", int, "an integer"),
    )


def row_problems(row: Any, schema: ItemSchema | None) -> Iterator[str]:
    """The problems of a row of the data."""
    if not isinstance(row, dict) or not isinstance(row.get("item"), dict):
        yield "expected an object with an object 'item'"
    elif schema is not None:
        yield from schema.problems(row["item"])


def as_item(row: Mapping[str, Any]) -> NewItem:
    """A row in the store's form."""
    sample = row.get("sample")
    return new_item(row["item"], None if sample is None else dumps(sample).decode())


def new_item(
    item: Mapping[str, Any], sample: str | None, shown: str | None = None, item_id: str | None = None
) -> NewItem:
    """An item with its hash, which is equal for equal items in any order of keys."""
    content_hash = sha256(dumps_sorted(item)).hexdigest()
    return NewItem(dumps(item).decode(), content_hash, sample, shown, item_id)


def check_inline(rows: list[Any], schema: ItemSchema | None) -> None:
    """Check the rows of a request.

    Raises:
        InvalidRequest: some are not valid; the message has the first problems.
    """
    param = "data_source.source.content"
    if not rows:
        raise InvalidRequest(f"Invalid '{param}': it holds no row.", param)
    if len(rows) > MOST_ROWS:
        raise InvalidRequest(f"Invalid '{param}': expected at most {MOST_ROWS} rows.", param)
    found = (
        f"{param}[{n}]: {problem}" for n, row in enumerate(rows) for problem in row_problems(row, schema)
    )
    if shown := list(islice(found, PROBLEMS_SHOWN)):
        raise InvalidRequest("\n".join(shown), param, "invalid_data")


def load_rows(store: Store, run: int, source: DataSource, schema: ItemSchema | None) -> None:
    """Load a run's rows into the store; after a crash it continues.

    Raises:
        SourceError: the rows cannot be read.
    """
    start = store.items.count(run)
    rows = islice(_items(store, source, schema), start, None)
    while True:
        chunk = list(islice(rows, CHUNK))
        last = len(chunk) < CHUNK
        if last and start + len(chunk) == 0:
            raise SourceError("the data source has no rows")
        if start + len(chunk) > MOST_ROWS:
            raise SourceError(f"the data source has more than {MOST_ROWS} rows")
        store.items.add(run, start, chunk, last=last)
        if last:
            return
        start += len(chunk)


def _items(store: Store, source: DataSource, schema: ItemSchema | None) -> Iterator[NewItem]:
    """The rows of a source, always in the same order."""
    match source.source["type"]:
        case "file_content":
            return map(as_item, source.source["content"])
        case "file_id":
            return _file_items(store, source.source["id"], schema)
        case "run":
            return _run_items(store, source.source["id"])
    selection = _selection(source.type, Fields(source.source, "data_source.source"))
    limit = source.source.get("limit")
    logged = store.completions.select(selection)
    return (
        new_item({"input": _logged_input(one.request)}, None if source.prompt else one.response)
        for one in islice(logged, limit if isinstance(limit, int) and limit > 0 else None)
    )


def _logged_input(request: str) -> Any:
    """The messages of a logged request."""
    body = loads(request.encode())
    messages = body.get("messages", body.get("input"))
    return messages if isinstance(messages, list) else [{"role": "user", "content": messages or ""}]


def _file_items(store: Store, file_id: str, schema: ItemSchema | None) -> Iterator[NewItem]:
    record = store.files.get(file_id)
    if record is None:
        raise SourceError(f"No such File object: {file_id[:80]}")
    problems: list[str] = []
    with store.files.path(record).open("rb") as file:
        for number, row in _rows(file):
            found = row if isinstance(row, str) else next(row_problems(row, schema), None)
            if found is not None:
                problems.append(f"line {number}: {found}")
                if len(problems) == PROBLEMS_SHOWN:
                    break
            elif not problems:
                yield as_item(row)
    if problems:
        raise SourceError("the file has rows that cannot be used:\n" + "\n".join(problems))


def _rows(file: BinaryIO) -> Iterator[tuple[int, Any]]:
    """Line number and JSON of each line that is not blank, or the reason why it is not JSON."""
    for number, line in enumerate(iter(lambda: file.readline(LINE_BYTES + 1), b""), 1):
        if len(line) > LINE_BYTES:
            yield number, f"longer than {LINE_BYTES} bytes"
            return
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if has_more_values(line, VALUES_MAX):
            yield number, f"more than {VALUES_MAX} values"
        elif line.strip():
            try:
                yield number, loads(line)
            except ValueError as error:
                yield number, f"not JSON: {error}"


def _run_items(store: Store, run_id: str) -> Iterator[NewItem]:
    run = store.runs.get(run_id)
    if run is None:
        raise SourceError(f"No run found with id '{run_id[:80]}'.")
    after = -1
    while chunk := store.items.all(run.number, after, CHUNK):
        for item in chunk:
            yield NewItem(item.item, item.item_hash, item.sample, item.shown)
        after = chunk[-1].n

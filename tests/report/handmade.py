"""Results files made by hand, for what reads them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from graders.engine.grader import digest
from graders.results.read import Header
from tests.specs import string_check


def write_results(
    path: Path, rows: Iterable[Mapping[str, Any]], spec: dict[str, Any] | None = None, **options: Any
) -> Path:
    """Write a results file; a row has what it is about, `reward` None is a failed one."""
    spec = spec or string_check()
    header = Header(
        digest=digest(spec),
        spec=spec,
        name=spec.get("name", ""),
        type=spec["type"],
        engine="local-graders 0",
        data="data.jsonl",
        options={"fields": {"sample": "sample", "item": "item", "id": "id"}, "texts": True, **options},
    )
    lines = [json.dumps(header.to_json())]
    for number, row in enumerate(rows):
        ok = row.get("reward", 1.0) is not None
        fields = {"id": f"r{number}", "reward": 1.0, "ok": ok, **({} if ok else {"flags": ["other_error"]})}
        # the last field, as grader batch writes it
        texts = row.get("row")
        fields.update({key: value for key, value in row.items() if key != "row"})
        lines.append(json.dumps(fields if texts is None else {**fields, "row": texts}, separators=(",", ":")))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path

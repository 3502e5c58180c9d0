"""endpoint: a number from a server of the user's own. A type of Azure's service, in private preview there.

Each row is posted as `{"sample": ..., "item": ...}`, the answer is `{"score": 0.5}`. Nothing is sent unless
graders.toml allows the address (docs/models.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from graders.ask import Answer, Ask, EndpointAsk, EndpointReply, unwrap
from graders.errors import GradeError
from graders.result import Score
from graders.row import Row
from graders.spec.kind import Kind
from graders.spec.model import Field, SpecModel
from graders.spec.options import Options
from graders.spec.problems import Problems
from graders.spec.wording import Json
from graders.values import json_value

SCHEMES = ("http://", "https://")


class EndpointSpec(SpecModel):
    """The `score` in the server's answer: any finite number, never clamped."""

    type: Literal["endpoint"]
    url: str = Field(description="Where rows are posted to; graders.toml has to allow its host.")
    headers: dict[str, str] = Field({}, description="Sent with every row; secrets belong into graders.toml.")
    rate_limit: int | None = Field(None, ge=1, description="Requests a second at most.")
    max_rps: int | None = Field(None, ge=1, description="The same, as older examples spell it.")

    @classmethod
    def check(cls, raw: dict[str, Json], problems: Problems) -> None:
        url = raw.get("url")
        if isinstance(url, str) and not url.startswith(SCHEMES):
            message = f"Invalid 'url': {url[:80]!r} does not begin with {' or '.join(SCHEMES)}."
            problems.error(message, "invalid_value", "url")
        if raw.get("rate_limit") is not None and raw.get("max_rps") is not None:
            message = "'rate_limit' and 'max_rps' are two names of one limit: leave one out."
            problems.error(message, "conflicting_parameters", "max_rps")
        headers = raw.get("headers")
        for name, value in headers.items() if isinstance(headers, dict) else ():
            if isinstance(value, str) and "${" in value:
                message = (
                    f"'{value}' is sent as it stands: a header from the environment is named in graders.toml, "
                    "[endpoint_graders.HOST] headers_env."
                )
                problems.warn(message, "header_placeholder", "headers", name)

    def build(self, options: Options) -> EndpointKind:
        return EndpointKind(self)

    def reward_range(self) -> None:
        return None


class EndpointKind(Kind):
    n_asks = 1

    def __init__(self, spec: EndpointSpec) -> None:
        self._url = spec.url
        self._headers = dict(spec.headers)
        self._per_minute = 60 * (spec.rate_limit or spec.max_rps or 0)
        self.provenance = {"endpoint": spec.url}

    def ask(self, row: Row) -> Sequence[Ask | GradeError]:
        sample, item = json_value(row.sample.complete(), "sample"), json_value(row.item, "item")
        return (EndpointAsk(self._url, sample, item, self._headers, self._per_minute),)

    def grade(self, row: Row, answers: Sequence[Answer]) -> Score:
        reply = unwrap(answers[0], EndpointReply)
        return Score(reply.score, provenance={"endpoint": {"url": self._url, **reply.provenance}})

"""What a judge's server may do, as a table: the bytes it sends, what must come of it, and how often it is asked.

The server itself is `graders.judges.scripted`. Sources of the behaviours: measured on llama-server, llama-cpp-python's
server and the official SDK's test doubles; reported in the trackers of the servers; the APIs' references.
"""

from __future__ import annotations

import email.utils
import gzip
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from graders.judges.scripted import Answer, ReceivedRequest, Step, completion, fail, say

SERVER, REFUSAL, PARSE = "model_grader_server_error", "model_grader_refusal_error", "model_grader_parse_error"
MAX_TOKENS = "model_grader_exceeded_max_tokens_error"
# the attempts of the configuration that the table is written for
MAX_ATTEMPTS = 3


@dataclass(frozen=True)
class Kind:
    """A model grader, and answers in its terms.

    Attributes:
        good: A valid verdict, with another valid one beside it, and one of the right type that is not valid.
    """

    name: str
    good: Any
    other: Any
    bad: Any
    reward: float

    @property
    def ok(self) -> Answer:
        return say({"steps": [], "result": self.good})

    @property
    def text(self) -> str:
        return json.dumps({"steps": [], "result": self.good})


SCORE = Kind("score_model", good=0.75, other=0.25, bad="0.75", reward=0.75)
LABEL = Kind("label_model", good="good", other="bad", bad="excellent", reward=1.0)


@dataclass(frozen=True)
class Behaviour:
    """One scripted server.

    Attributes:
        answers: kind -> what it answers, request by request.
        flag: The flag that must be set; "" when there must be a verdict.
        exact_flag: The one that must be set beside it, or "".
        says: What the failure's text must contain.
        attempts: Requests that must arrive.
        waits: Seconds that must lie between attempts at least; ... where any delay will do.
        stops: Whether a batch ends with ModelStop.
        last: What the last request must look like.
        provenance: What the result must say of how it was asked.
        usage: The prompt tokens that must be reported.
        proven: Whether the judge has given a verdict before, so that a bad answer is no sign that it ignores the schema.
    """

    name: str
    answers: Callable[[Kind], list[Answer]]
    flag: str = ""
    says: str = ""
    attempts: int = 1
    waits: tuple[Any, ...] = ()
    stops: bool = False
    last: Callable[[dict[str, Any]], bool] = lambda body: True
    provenance: Mapping[str, Any] = field(default_factory=dict)
    usage: int | None = 10
    exact_flag: str = ""
    proven: bool = False

    @property
    def flags(self) -> tuple[str, ...]:
        """All flags that must be set."""
        return tuple(flag for flag in (self.flag, self.exact_flag) if flag)

    @property
    def stalls(self) -> bool:
        return self.name.startswith("stalled")

    @property
    def n_stalls(self) -> int:
        """Requests that get no answer: all but the last, where that has one."""
        return self.attempts - (not self.flag) if self.stalls else 0


def body(make: Callable[[ReceivedRequest, Kind], Any], **step: Any) -> Callable[[Kind], Answer]:
    """An answer whose body depends on the request."""
    return lambda kind: lambda received: Step(body=make(received, kind), **step)


def raw(kind: Kind, **step: Any) -> Answer:
    """A good answer sent in an unusual way."""
    return lambda received: Step(body=completion(received, kind.text), **step)


def told(text: Any, **more: Any) -> Answer:
    return lambda received: Step(body=completion(received, text, **more))


def in_two_seconds() -> str:
    return email.utils.formatdate(time.time() + 3, usegmt=True)


def zipped(received: ReceivedRequest, kind: Kind) -> bytes:
    return gzip.compress(json.dumps(completion(received, kind.text)).encode())


def without(body: dict[str, Any], *names: str) -> bool:
    return not any(name in body for name in names)


def format_of(body: dict[str, Any]) -> str:
    return str(body.get("response_format", {}).get("type", ""))


def roles(body: dict[str, Any]) -> list[str]:
    return [message["role"] for message in body["messages"]]


UNSUPPORTED_SCHEMA = fail(400, "This server does not support response_format of type json_schema")
DEEP = "[" * 100_000
USED = {
    "prompt_tokens": 30,
    "completion_tokens": 20,
    "total_tokens": 50,
    "prompt_tokens_details": {"cached_tokens": 16},
    "completion_tokens_details": {"reasoning_tokens": 12},
}

BEHAVIOURS = [
    # --- answers, sent in every way that HTTP allows ---
    Behaviour("plain", lambda k: [k.ok], provenance={"structured": "json_schema", "attempts": 1}),
    Behaviour("chunked", lambda k: [raw(k, chunked=True)]),
    Behaviour("connection closed after it", lambda k: [raw(k, close=True)]),
    Behaviour("a few bytes at a time", lambda k: [raw(k, trickle_s=0.00001)]),
    Behaviour("slow, within the time-out", lambda k: [raw(k, delay_s=0.03)]),
    Behaviour("gzip that was not asked for", lambda k: [body(zipped, headers={"content-encoding": "gzip"})(k)]),
    Behaviour("content in parts", lambda k: [told([{"type": "text", "text": k.text[:9]}, {"type": "text", "text": k.text[9:]}])]),
    Behaviour("blanks and line breaks between tokens", lambda k: [told("\n\n " + json.dumps(json.loads(k.text), indent=8) + "\n")]),
    Behaviour("no usage", lambda k: [told(k.text, usage=None)], usage=None),
    Behaviour("usage of nulls", lambda k: [told(k.text, usage={"prompt_tokens": None})], usage=None),
    Behaviour("usage that is no object", lambda k: [told(k.text, usage={"prompt_tokens": "10"})], usage=None),
    Behaviour("cached and reasoning tokens", lambda k: [told(k.text, usage=USED)], usage=30),
    Behaviour("more choices than asked for", lambda k: [lambda r: Step(body={**completion(r, k.text), "choices": completion(r, k.text)["choices"] * 2})]),
    # --- asked to wait ---
    Behaviour("429, Retry-After in seconds", lambda k: [fail(429, headers={"Retry-After": "2"}), k.ok], attempts=2, waits=(2.0,)),
    Behaviour("429, Retry-After as a date", lambda k: [lambda r: fail(429, headers={"Retry-After": in_two_seconds()}), k.ok], attempts=2, waits=(1.9,)),
    Behaviour("429, retry-after-ms", lambda k: [fail(429, headers={"retry-after-ms": "2500", "retry-after": "1"}), k.ok], attempts=2, waits=(2.5,)),
    Behaviour("429, x-ratelimit-reset", lambda k: [fail(429, headers={"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m1s", "x-ratelimit-remaining-tokens": "99", "x-ratelimit-reset-tokens": "9m"}), k.ok], attempts=2, waits=(61.0,)),
    Behaviour("429, a Retry-After that is none", lambda k: [fail(429, headers={"Retry-After": "soon"}), k.ok], attempts=2, waits=(...,)),
    Behaviour("429 without a header", lambda k: [fail(429), k.ok], attempts=2, waits=(...,)),
    Behaviour("429 for ever", lambda k: [fail(429, "slow down")] * 3, SERVER, "status 429: slow down; gave up after 3 attempts", 3, (..., ...), usage=None),
    Behaviour("429, a Retry-After after the deadline", lambda k: [fail(429, headers={"Retry-After": "300"}), fail(429, "quiet", headers={"Retry-After": "400"})], SERVER, "status 429: quiet; the endpoint wants no request for another 400 s, and only", 2, (300.0,), usage=None),
    Behaviour("429, Retry-After of a day", lambda k: [fail(429, headers={"Retry-After": "86400"})], SERVER, "8.64e+04 s", 1, stops=True, usage=None),
    Behaviour("503 with Retry-After", lambda k: [fail(503, headers={"Retry-After": "4"}), k.ok], attempts=2, waits=(4.0,)),
    # --- failures of the server that pass ---
    Behaviour("500 once", lambda k: [fail(500, "oops"), k.ok], attempts=2, waits=(...,), provenance={"attempts": 2}),
    Behaviour("500 for ever", lambda k: [fail(500, "oops")] * 3, SERVER, "status 500: oops; gave up after 3 attempts", 3, (..., ...), usage=None),
    Behaviour("502 with a page", lambda k: [Step(502, b"<html>bad gateway</html>", {"content-type": "text/html"}), k.ok], attempts=2, waits=(...,)),
    Behaviour("408", lambda k: [fail(408), k.ok], attempts=2, waits=(...,)),
    Behaviour("409", lambda k: [fail(409), k.ok], attempts=2, waits=(...,)),
    Behaviour("529", lambda k: [fail(529, "overloaded"), k.ok], attempts=2, waits=(...,)),
    Behaviour("closed without a response", lambda k: [Step(drop=True), k.ok], attempts=2, waits=(...,)),
    Behaviour("reset without a response", lambda k: [Step(reset=True), k.ok], attempts=2, waits=(...,)),
    Behaviour("closed for ever", lambda k: [Step(drop=True)] * 3, SERVER, "no response: the connection ended without a response; gave up after 3 attempts", 3, (..., ...), usage=None),
    Behaviour("cut within the body", lambda k: [raw(k, cut_at=20), k.ok], attempts=2, waits=(...,)),
    Behaviour("reset within the body", lambda k: [raw(k, cut_at=20, reset=True), k.ok], attempts=2, waits=(...,)),
    Behaviour("cut within a chunk", lambda k: [raw(k, cut_at=20, chunked=True), k.ok], attempts=2, waits=(...,)),
    Behaviour("stalled before the response", lambda k: [raw(k, delay_s=60), k.ok], attempts=2, waits=(...,)),
    Behaviour("stalled within the body", lambda k: [raw(k, stall_at=20), k.ok], attempts=2, waits=(...,)),
    Behaviour("stalled for ever", lambda k: [raw(k, delay_s=60)] * 3, SERVER, "gave up after 3 attempts", 3, (..., ...), usage=None),
    Behaviour("200 with half of the JSON", lambda k: [lambda r: Step(body=json.dumps(completion(r, k.text)).encode()[:60]), k.ok], attempts=2, waits=(...,)),
    Behaviour("200 with a login page", lambda k: [Step(200, b"<!doctype html><title>Log in</title>", {"content-type": "text/html"})] * 3, SERVER, "the body is not JSON: '<!doctype html>", 3, (..., ...), usage=None),
    Behaviour("200 with nothing", lambda k: [Step(200, b""), k.ok], attempts=2, waits=(...,)),
    Behaviour("200 with a list", lambda k: [Step(200, [1]), k.ok], attempts=2, waits=(...,)),
    Behaviour("200 with an error", lambda k: [Step(200, {"error": {"message": "busy"}}), k.ok], attempts=2, waits=(...,)),
    Behaviour("200 with an error that names its status", lambda k: [Step(200, {"error": {"message": "no credit", "code": 402}})], SERVER, "status 402: no credit", 1, stops=True, usage=None),
    Behaviour("200 without a choice", lambda k: [lambda r: Step(body={**completion(r, k.text), "choices": []})] * 3, SERVER, "without a choice", 3, (..., ...), usage=None),
    Behaviour("200 with a choice of null", lambda k: [Step(200, {"choices": [None]}), k.ok], attempts=2, waits=(...,)),
    Behaviour("200 with a choice without a message", lambda k: [Step(200, {"choices": [{"index": 0}]}), k.ok], attempts=2, waits=(...,)),
    Behaviour("200 with a choice that failed", lambda k: [Step(200, {"choices": [{"finish_reason": "error", "error": "gpu", "message": {}}]}), k.ok], attempts=2, waits=(...,)),
    Behaviour("204", lambda k: [Step(204, b"")], SERVER, "status 204", 1, usage=None),
    Behaviour("not HTTP", lambda k: [Step(raw=b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), k.ok], attempts=2, waits=(...,)),
    Behaviour("chunks that are none", lambda k: [Step(200, b"xyz\r\n" * 9, {"transfer-encoding": "chunked"}), k.ok], attempts=2, waits=(...,)),
    Behaviour("a body of a terabyte", lambda k: [Step(200, b"{", {"content-length": "1000000000000"}), k.ok], attempts=2, waits=(...,)),
    # --- failures that stay ---
    Behaviour("401", lambda k: [fail(401, "Incorrect API key provided: sk-secret", "invalid_api_key")], SERVER, "status 401 invalid_api_key: Incorrect API key provided: ***; check the key", 1, stops=True, usage=None),
    Behaviour("402", lambda k: [fail(402, "pay")], SERVER, "status 402: pay", 1, stops=True, usage=None),
    Behaviour("403", lambda k: [fail(403, "not yours")], SERVER, "status 403: not yours; check the key", 1, stops=True, usage=None),
    Behaviour("404, no such model", lambda k: [fail(404, "The model `m` does not exist", "model_not_found")], SERVER, "model_not_found: The model `m` does not exist; check base_url", 1, stops=True, usage=None),
    Behaviour("429 without quota", lambda k: [fail(429, "You exceeded your current quota", "insufficient_quota")], SERVER, "insufficient_quota", 1, stops=True, usage=None),
    Behaviour("429 without quota, for ever, that says when to come back", lambda k: [fail(429, "You exceeded your current quota", "insufficient_quota", headers={"retry-after": "1"})] * 3, SERVER, "no quota left", 3, (1.0, 1.0), stops=True, usage=None),
    Behaviour("400", lambda k: [fail(400, "messages: too many")], SERVER, "status 400: messages: too many", 1, usage=None),
    Behaviour("400, context too long", lambda k: [fail(400, "the request exceeds the available context size", "exceed_context_size_error")], SERVER, "exceed_context_size_error", 1, usage=None),
    Behaviour("413 in plain text", lambda k: [Step(413, b"too large")], SERVER, "status 413: too large", 1, usage=None),
    Behaviour("422", lambda k: [fail(422, "no")], SERVER, "status 422: no", 1, usage=None),
    Behaviour("500, unsupported for good", lambda k: [fail(500, "image input is not supported")], SERVER, "image input is not supported", 1, usage=None),
    Behaviour("501", lambda k: [fail(501, "never")], SERVER, "status 501: never", 1, usage=None),
    Behaviour("a redirect", lambda k: [Step(302, b"", {"location": "http://127.0.0.1:9/"})], SERVER, "status 302", 1, usage=None),
    # --- refusals ---
    Behaviour("refusal", lambda k: [told(None, refusal="I would rather not")], REFUSAL, "I would rather not", 1),
    Behaviour("content filter ends the answer", lambda k: [told('{"res', finish="content_filter")], REFUSAL, "content filter", 1),
    Behaviour("content filter refuses the question", lambda k: [fail(400, "The response was filtered", "content_filter")], REFUSAL, "filtered", 1, usage=None),
    # --- structured output that is not there ---
    Behaviour("400, no json_schema", lambda k: [UNSUPPORTED_SCHEMA, k.ok], attempts=2, provenance={"structured": "json_object"}, last=lambda b: format_of(b) == "json_object"),
    Behaviour("500, no json_schema", lambda k: [fail(500, "[{'type': 'literal_error', 'loc': ('body', 'response_format', 'type'), 'msg': \"Input should be 'text' or 'json_object'\"}]"), k.ok], attempts=2, provenance={"structured": "json_object"}),
    Behaviour("422, neither form", lambda k: [fail(422, "extra fields not permitted: response_format")] * 2 + [k.ok], attempts=3, provenance={"structured": "prompt"}, last=lambda b: without(b, "response_format")),
    Behaviour("schema ignored", lambda k: [told("I think it is fine."), told("Quite good."), k.ok], attempts=3, provenance={"structured": "json_object"}, usage=30),
    Behaviour("schema never heeded", lambda k: [told("I think it is fine.")] * 3, PARSE, "no valid verdict: 'I think it is fine.'", 3, usage=30),
    Behaviour("think block and fence, prompt only", lambda k: [UNSUPPORTED_SCHEMA] * 2 + [lambda r: Step(body=completion(r, f'<think>{{"result": 1}} or so?</think>\n```json\n{keyed(r, k.good)}\n```'))], attempts=3),
    Behaviour("prose around it, prompt only", lambda k: [UNSUPPORTED_SCHEMA] * 2 + [lambda r: Step(body=completion(r, f"Well: {keyed(r, k.good)} is my {{verdict}}."))], attempts=3),
    Behaviour("the same twice, prompt only", lambda k: [UNSUPPORTED_SCHEMA] * 2 + [lambda r: Step(body=completion(r, f"{keyed(r, k.good)} so {keyed(r, k.good)}"))], attempts=3),
    Behaviour("two verdicts, prompt only", lambda k: [UNSUPPORTED_SCHEMA] * 2 + [lambda r: Step(body=completion(r, f"{keyed(r, k.good)} or {keyed(r, k.other)}"))] * 2, PARSE, "different verdicts", 4, usage=20),
    Behaviour("echo of the sample, prompt only", lambda k: [UNSUPPORTED_SCHEMA] * 2 + [told('The sample says {"result": 1} and {"result": "good"}')] * 2, PARSE, "no valid verdict", 4, usage=20),
    # --- parameters that are not taken ---
    Behaviour("400, no temperature", lambda k: [fail(400, "Unsupported value: 'temperature' does not support 0.5 with this model. Only the default (1) value is supported.", "unsupported_value"), k.ok], attempts=2, provenance={"dropped": ["temperature"]}, last=lambda b: without(b, "temperature") and "seed" in b),
    Behaviour("400, param names it", lambda k: [Step(400, {"error": {"message": "Unsupported parameter (try temperature)", "param": "top_p", "code": "unsupported_parameter"}}), k.ok], attempts=2, provenance={"dropped": ["top_p"]}, last=lambda b: without(b, "top_p") and "temperature" in b),
    Behaviour("400, no max_completion_tokens", lambda k: [fail(400, "Unrecognized request argument supplied: max_completion_tokens"), k.ok], attempts=2, last=lambda b: b["max_tokens"] == 50 and without(b, "max_completion_tokens")),
    Behaviour("400, no token limit at all", lambda k: [fail(400, "unknown field max_completion_tokens"), fail(400, "unknown field max_tokens"), k.ok], attempts=3, provenance={"dropped": ["max_completions_tokens"]}),
    Behaviour("400, no reasoning_effort", lambda k: [fail(400, "Unrecognized request argument supplied: reasoning_effort"), k.ok], attempts=2, provenance={"dropped": ["reasoning_effort"]}),
    Behaviour("422, no seed", lambda k: [fail(422, "seed: extra fields not permitted"), k.ok], attempts=2, provenance={"dropped": ["seed"]}),
    Behaviour("500, no developer role", lambda k: [fail(500, "Unexpected message role: developer"), k.ok], attempts=2, last=lambda b: roles(b) == ["system", "user"]),
    Behaviour("one parameter after the other", lambda k: [fail(400, f"{name} is not supported") for name in ("temperature", "top_p", "seed", "reasoning_effort")] + [k.ok], attempts=5, provenance={"dropped": ["reasoning_effort", "seed", "temperature", "top_p"]}),
    # --- answers that are none ---
    Behaviour("cut off", lambda k: [told('{"steps": [', finish="length")], PARSE, "cut off (length) after 5 tokens", 1, exact_flag=MAX_TOKENS),
    Behaviour("cut off after a whole object", lambda k: [told(k.text + "\n" * 50, finish="length")]),
    Behaviour("cut off in the words of a gateway", lambda k: [told('{"steps": [', finish="MAX_TOKENS")], PARSE, "cut off (length)", 1, exact_flag=MAX_TOKENS),
    Behaviour("cut off after one of two, prompt only", lambda k: [UNSUPPORTED_SCHEMA] * 2 + [lambda r: Step(body=completion(r, f"{keyed(r, k.good)} or rather {keyed(r, k.other)[:-3]}", finish="length"))], PARSE, "cut off", 3, exact_flag=MAX_TOKENS),
    Behaviour("null, then an answer", lambda k: [told(None), k.ok], attempts=2, usage=20),
    Behaviour("no verdict, then one", lambda k: [told("Hm."), k.ok], attempts=2, usage=20),
    Behaviour("wrong schema, after a good one", lambda k: [told('{"score": 1}'), told('{"score": 1}')], PARSE, "expected an object with 'result', got {\"score\": 1}", 2, usage=20, proven=True),
    Behaviour("empty, after a good one", lambda k: [told(""), told("  ")], PARSE, "it is empty", 2, usage=20, proven=True),
    Behaviour("two objects, after a good one", lambda k: [*[told(k.text + k.text)] * 2], PARSE, "not one JSON object", 2, usage=20, proven=True),
    Behaviour("a key twice, after a good one", lambda k: [*[told(f'{{"result": {json.dumps(k.good)}, "result": {json.dumps(k.other)}}}')] * 2], PARSE, "'result' stands twice", 2, usage=20, proven=True),
    Behaviour("a value that is not valid, after a good one", lambda k: [*[told(json.dumps({"result": k.bad}))] * 2], PARSE, "'result' is", 2, usage=20, proven=True),
    Behaviour("NaN, after a good one", lambda k: [*[told('{"result": NaN}')] * 2], PARSE, "NaN is not JSON", 2, usage=20, proven=True),
    Behaviour("true, after a good one", lambda k: [*[told('{"result": true}')] * 2], PARSE, "'result' is true", 2, usage=20, proven=True),
    Behaviour("a list, after a good one", lambda k: [*[told(f'[{k.text}]')] * 2], PARSE, "expected an object", 2, usage=20, proven=True),
    Behaviour("a thousand digits, after a good one", lambda k: [*[told('{"result": 1' + "0" * 1000 + "}")] * 2], PARSE, "'result' is", 2, usage=20, proven=True),
    Behaviour("braces without end, after a good one", lambda k: [*[told(DEEP)] * 2], PARSE, "too deeply", 2, usage=20, proven=True),
]  # fmt: skip


def keyed(received: ReceivedRequest, result: Any) -> str:
    """A verdict as the request wants it, as text."""
    from graders.judges.scripted import result_key

    return json.dumps({"steps": [], result_key(received): result})

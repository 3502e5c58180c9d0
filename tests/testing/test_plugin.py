"""The pytest plugin, seen from a project that uses it."""

from __future__ import annotations

import fnmatch

import pytest

from tests.specs import multi, python, score_model, text_similarity
from tests.testing.support import EXACT, SERIAL_AND_PARALLEL, run

pytest_plugins = ["pytester"]

FIXTURES = """
    import json
    from pathlib import Path

    import pytest

    NEAR = {"type": "text_similarity", "evaluation_metric": "fuzzy_match", "input": "{{sample.output_text}}",
            "reference": "{{item.answer}}"}

    def test_spec_of_the_ini_file(grader, grade):
        assert grader.type == "string_check"
        assert grade("Paris", {"answer": "Paris"}) == 1.0
        assert grade("Rome", {"answer": "Paris"}) == 0.0

    @pytest.mark.grader(NEAR)
    def test_spec_of_the_marker(grader, grade):
        assert grader.type == "text_similarity"
        assert 0 < grade("Pari", {"answer": "Paris"}) < 1
        assert grade("Pari", {"answer": "Paris"}, spec="exact.json") == 0.0

    @pytest.mark.grader(Path("exact.json"))
    def test_spec_by_path(grader):
        assert grader.type == "string_check"

    def test_result_of_a_reward(grade):
        reward = grade("Paris", {"answer": "Paris"}, id="fr")
        assert reward.ok and reward.flags == () and reward.id == "fr" and reward.result.reward == 1.0

    def test_a_failed_row_is_equal_to_nothing(grade):
        reward = grade("Paris", {})
        assert not reward.ok and reward.flags == ("invalid_variable_error",)
        assert not reward == 0.0 and not reward <= 1

    @pytest.mark.grader_rows("rows.jsonl")
    def test_rows(row, reward, grade):
        assert reward == float(row["sample"] == row["gold"])
        assert grade(row["gold"], row["item"]) == 1.0

    @pytest.mark.grader_rows("rows.jsonl", spec=NEAR, max_rows=2, seed=3)
    def test_some_rows(row, grader):
        assert grader.type == "text_similarity"

    def test_batch(grader_batch):
        assert grader_batch("rows.jsonl") == [1.0, 1.0, 0.0]
        assert [r.id for r in grader_batch([{"id": 7, "gold": "x", "item": {"answer": "x"}}])] == ["7"]
"""


@pytest.mark.parametrize("arguments", SERIAL_AND_PARALLEL)
def test_fixtures_get_their_specs_and_rows(project: pytest.Pytester, arguments: tuple[str, ...]) -> None:
    """Specs come from the marker, a path, a dict or the ini file; rows give tests named by their ids."""
    result = run(project, FIXTURES, *arguments)

    result.assert_outcomes(passed=11)


def test_rows_are_named_by_their_ids(project: pytest.Pytester) -> None:
    """`pytest -k` and reports speak of row ids; max_rows and a seed choose the same ones each time."""
    result = run(project, FIXTURES, "--collect-only", "-q", "-k", "rows")
    again = run(project, FIXTURES, "--collect-only", "-q", "-k", "rows", "--grader-max-rows", "1")

    for row_id in ("fr", "jp", "ca"):
        result.stdout.fnmatch_lines([f"*::test_rows[[]{row_id}[]]"])
    assert sum("test_some_rows" in line for line in result.outlines) == 2
    assert sum("test_rows[" in line for line in again.outlines) == 1


OTHERS = """
    import pytest
    from hypothesis import HealthCheck, given, settings, strategies

    @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(strategies.text())
    def test_hypothesis(grade, text):
        assert grade(text, {"answer": text}) == 1.0

    def test_benchmark(benchmark, grader):
        assert benchmark.pedantic(grader.run, ("Paris", {"answer": "Paris"}), rounds=3).reward == 1.0

    def test_syrupy(snapshot, grade):
        assert snapshot(name="reward") is not None and grade("Paris", {"answer": "Paris"}) == 1.0

    def test_subtests(subtests, grader_batch):
        for reward in grader_batch("rows.jsonl"):
            with subtests.test(reward.id):
                assert 0 <= reward <= 1
"""


@pytest.mark.parametrize("arguments", SERIAL_AND_PARALLEL)
def test_the_plugin_works_beside_others(project: pytest.Pytester, arguments: tuple[str, ...]) -> None:
    """hypothesis (with its check of fixtures), pytest-benchmark, syrupy, xdist and subtests in one environment."""
    for plugin in ("syrupy", "pytest_benchmark", "xdist", "hypothesis"):
        pytest.importorskip(plugin)

    result = run(project, OTHERS, *arguments)

    assert result.ret == 0
    result.stdout.fnmatch_lines(["*4 passed*"])


def test_the_plugin_can_be_disabled(project: pytest.Pytester) -> None:
    """-p no:graders takes fixtures and options away; other tests run."""
    project.makeini("[pytest]\naddopts = -p no:cacheprovider\n")
    source = """
        def test_alone(request):
            assert not request.config.pluginmanager.has_plugin("graders")

        def test_needs_it(grade):
            pass
    """

    result = run(project, source, "-p", "no:graders")

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*fixture 'grade' not found*"])


def test_an_unused_plugin_loads_no_engine(project: pytest.Pytester) -> None:
    """A run that asks for none of it loads neither the engine nor what it is made of."""
    project.makepyfile(
        """
        import sys

        def test_nothing_was_loaded():
            ours = {name for name in sys.modules if name.partition(".")[0] in ("graders", "graders_sandbox")}
            assert {name for name in ours if not name.startswith("graders.pytest_plugin")} == {
                "graders", "graders._version", "graders.lazy"
            }
            assert not {"pydantic", "numpy", "asyncio", "uvicorn"} & set(sys.modules)
        """
    )

    plugins = [f"-pno:{name}" for name in ("xdist", "hypothesispytest", "benchmark", "syrupy", "anyio")]
    result = project.runpytest_subprocess("-p", "no:cacheprovider", *plugins)

    result.assert_outcomes(passed=1)


FAILING = [
    # spec, assert, lines that are shown
    pytest.param(
        EXACT,
        'grade("Pariss", {"answer": "Paris"}, id="fr") == 1.0',
        ["*0.0 == 1.0*", "*reward 0 of row 'fr' by 'check' (string_check)*", '*input:     "Pariss"*', '*reference: "Paris"*', "*- Paris*", "*+ Pariss*"],
        id="texts and diff",
    ),
    pytest.param(
        multi("(exact + near) / 2", {"exact": EXACT, "near": text_similarity()}),
        'grade("Pari", {"answer": "Paris"}) > 0.9',
        ["*exact: 0*", "*near: 0.88*", '*exact input:     "Pari"*'],
        id="sub-rewards",
    ),
    pytest.param(
        EXACT, 'grade("Paris", {}) == 1.0',
        ["*failed (invalid_variable_error) == 1.0*", "*invalid_variable_error: *'item.answer'*"],
        id="flags",
    ),
    pytest.param(
        python("def grade(sample, item):\n    raise ValueError('what?')\n"), 'grade("Paris", {"a": 1}) == 1.0',
        ["*python_grader_runtime_error: *ValueError: what?*", '*sample: "Paris"*', '*item:   {"a": 1}*'],
        id="a program that raised",
    ),
    pytest.param(
        EXACT, 'grade("x" * 5000, {"answer": "y"}) == 1.0', ["*(5002 characters)*"], id="long texts are shortened",
    ),
    pytest.param(
        EXACT, 'grade("Rome", {"answer": "Paris"}) == pytest.approx(1.0)', ['*reference: "Paris"*'], id="approx",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "statement", "lines"), FAILING)
def test_failing_asserts_explain(
    project: pytest.Pytester, spec: dict[str, object], statement: str, lines: list[str]
) -> None:
    """A comparison that fails shows why the reward is what it is."""
    source = f"import pytest\n\nSPEC = {spec!r}\n\n@pytest.mark.grader(SPEC)\ndef test_it(grade):\n    assert {statement}\n"

    result = run(project, source)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(lines)
    assert max(map(len, result.outlines)) < 700


def test_a_fake_judge_answers_over_the_wire(project: pytest.Pytester) -> None:
    """Judges' questions go over the wire to the script; the spec need not know."""
    spec = score_model(model="o3-mini", sampling_params={"temperature": 0})
    source = f"""
        import pytest
        from graders.testing import fail, say

        SPEC = {spec!r}

        @pytest.mark.grader(SPEC)
        def test_scripted(grader, grade, fake_judge):
            fake_judge.default = say({{"result": 0.25}})
            fake_judge.queue(say({{"result": 1.0}}), fail(400, "no"))
            assert grade("a") == 1.0
            assert grade("b").flags == ("model_grader_server_error",)
            assert grader.run("c", {{}}).reward == 0.25
            assert [r.model for r in fake_judge.received] == ["o3-mini"] * 3

        @pytest.mark.grader(SPEC)
        def test_each_test_has_its_own(grade, fake_judge):
            assert grade("a") == 0.5 and len(fake_judge.received) == 1
    """

    run(project, source).assert_outcomes(passed=2)


def test_limits_of_the_marker_override_the_ini_file(project: pytest.Pytester) -> None:
    """The marker's limits over the ini file's; a program that needs more is cut and flagged."""
    spec = python(
        "import time\ndef grade(sample, item):\n    time.sleep(float(sample['output_text']))\n    return 1.0\n"
    )
    project.makeini("[pytest]\naddopts = -p no:cacheprovider\ngrader_limits = descriptors=64 wall_s=60.5\n")
    source = f"""
        import pytest

        SPEC = {spec!r}

        @pytest.mark.grader(SPEC, limits={{"wall_s": 0.5}})
        def test_marked(grade, sandbox_limits):
            assert (sandbox_limits.wall_s, sandbox_limits.descriptors) == (0.5, 64)
            assert grade("30").flags == ("python_grader_server_error",)

        @pytest.mark.grader(SPEC)
        def test_plain(grade, sandbox_limits):
            assert sandbox_limits.wall_s == 60.5
            assert grade("0") == 1.0
    """

    run(project, source).assert_outcomes(passed=2)


def test_the_server_fixture_answers_any_client(project: pytest.Pytester) -> None:
    """The endpoints answer on a port of loopback, for any client."""
    source = f"""
        import json
        import urllib.request

        def test_it(grader_server):
            body = {{"grader": {EXACT!r}, "model_sample": "Paris", "item": {{"answer": "Paris"}}}}
            request = urllib.request.Request(
                grader_server.base_url + "/fine_tuning/alpha/graders/run", json.dumps(body).encode(),
                {{"content-type": "application/json", "authorization": "Bearer none"}},
            )
            with urllib.request.urlopen(request) as response:
                assert json.load(response)["reward"] == 1.0

        def test_client(grader_server):
            graders = grader_server.client().fine_tuning.alpha.graders
            assert graders.run(grader={EXACT!r}, model_sample="Rome", item={{"answer": "Paris"}}).reward == 0.0
    """

    result = run(project, source)

    assert result.ret == 0
    result.stdout.fnmatch_lines(["*passed*"])


MISTAKES = [
    # source, what is said
    pytest.param("def test_it(grade):\n    grade('x')\n", "*grades by no spec: give it @pytest.mark.grader*", id="no spec"),
    pytest.param(
        "import pytest\n@pytest.mark.grader_rows('nowhere.jsonl')\ndef test_it(row):\n    pass\n",
        "*cannot read *nowhere.jsonl: No such file or directory*", id="no rows",
    ),
    pytest.param(
        "import pytest\n@pytest.mark.grader_rows('rows.jsonl')\ndef test_it():\n    pass\n",
        "*has grader_rows, but neither `row` nor `reward` as argument*", id="rows for nobody",
    ),
    pytest.param("def test_it(reward):\n    pass\n", "*need @pytest.mark.grader_rows*", id="reward without rows"),
    pytest.param(
        "import pytest\n@pytest.mark.grader({'type': 'string_chek'})\ndef test_it(grader):\n    pass\n",
        "*string_check*", id="an invalid spec",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("source", "said"), MISTAKES)
def test_mistakes_are_explained(project: pytest.Pytester, source: str, said: str) -> None:
    """Mistakes in tests get a message with the mistake and what to write instead."""
    project.makeini("[pytest]\naddopts = -p no:cacheprovider\n")

    result = run(project, source)

    assert result.ret != 0
    assert fnmatch.filter([*result.outlines, *result.errlines], said), result.outlines

"""Calibration: agreement with people, what it is bound to, what a judge pays for, and the command."""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
import math
from collections.abc import Mapping
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import graders
from graders.audit import calibrate, from_results, graded, probed
from graders.batch import grade_dataset
from graders.calibration.calibration import gate
from graders.cli.calibrate import command
from graders.report.binding import binding
from graders.report.claims import write_claim
from graders.report.markdown import summary_markdown
from graders.report.page import page
from graders.report.report import make_report
from graders.report.terminal import summary_text
from graders.results.read import ResultsError
from graders.stats.agreement.association import confusion, kappa
from graders.stats.distributions import binomial_tail
from tests.specs import multi, score_model, string_check

LONGER = "at greater length"


def labelled(n: int = 60, wrong: int = 6, seed: int = 1) -> list[dict[str, Any]]:
    """Rows whose grader and first annotator differ on `wrong` of them; the second annotator differs on one more."""
    chance = np.random.default_rng(seed)
    odd = set(chance.permutation(n)[:wrong].tolist())
    rows = []
    for at in range(n):
        right = at % 2 == 0
        told = right if at not in odd else not right
        rows.append(
            {
                "id": f"r{at}",
                "sample": "Paris" if right else "Lyon",
                "item": {"answer": "Paris"},
                "ann": told,
                "bob": told if at != 3 else not told,
                "topic": "maths" if at < n / 2 else "law",
            }
        )
    return rows


def test_agreement_with_several_annotators() -> None:
    """Kappa with the majority, alpha among annotators and with the grader, each annotator alone, and tied rows."""
    rows = graded(string_check(), labelled())
    found = calibrate(rows, ["ann", "bob"], slices=["topic"])

    assert found.tied == 1
    assert found.agreement.n == 59
    assert found.agreement.kappa is not None
    assert [each.field for each in found.by_annotator] == ["ann", "bob"]
    assert found.between is not None
    assert found.with_grader is not None
    assert found.between.value > found.with_grader.value
    assert {slice_.value for slice_ in found.slices} == {"maths", "law"}
    assert all(0 <= slice_.p <= 1 for slice_ in found.slices)
    json.dumps(found.to_json(), allow_nan=False)


def test_failed_rows_are_in_no_figure() -> None:
    rows = [*labelled(), {"id": "broken", "sample": "x", "item": {}, "ann": True}]

    found = calibrate(graded(string_check(), rows), ["ann"])

    assert (found.failed, found.agreement.n) == (1, 60)


def test_more_labels_for_a_wanted_width() -> None:
    """Four times as many labels halve the width of the interval, and the advice is close to that."""
    small = calibrate(graded(string_check(), labelled(80, 12)), ["ann"])
    assert small.agreement.kappa is not None
    half = small.agreement.kappa.width / 2

    told = calibrate(graded(string_check(), labelled(80, 12)), ["ann"], width=half).more_labels
    large = calibrate(graded(string_check(), labelled(320, 48)), ["ann"]).agreement.kappa

    assert told == pytest.approx(240, abs=2)
    assert large is not None
    assert large.width == pytest.approx(half, rel=0.15)


DEMANDS = [
    ("kappa>=0.5", False, "met"),
    ("kappa >= 0.99", False, "failed"),
    ("brier<=0.2", False, "met"),
    ("kappa>=0.75", True, "inconclusive"),
    ("auroc>=0.99", True, "failed"),
]


@pytest.mark.parametrize(("demand", "surely", "verdict"), DEMANDS)
def test_gates(demand: str, surely: bool, verdict: str) -> None:
    found = calibrate(graded(string_check(), labelled()), ["ann"])

    assert gate(found, demand, surely=surely).verdict == verdict


@pytest.mark.parametrize("demand", ["kappa", "kapa>=0.5", "kappa>=much", "kappa>0.5"])
def test_demands_of_another_form_are_refused(demand: str) -> None:
    found = calibrate(graded(string_check(), labelled()), ["ann"])

    with pytest.raises(ValueError, match="--gate"):
        gate(found, demand)


JUDGE = score_model(sampling_params={"seed": 1})
CHANGES = [
    (score_model(sampling_params={"seed": 1}, name="other"), ["a"], []),
    (score_model(sampling_params={"seed": 2}), ["a"], ["'sampling_params' of the spec"]),
    (score_model(sampling_params={"seed": 1}, model="larger"), ["a"], ["'model' of the spec"]),
    (
        score_model(
            sampling_params={"seed": 1}, input=[{"role": "user", "content": "{{sample.output_text}}"}]
        ),
        ["a"],
        ["'input' of the spec"],
    ),
    (score_model(sampling_params={"seed": 1}, pass_threshold=0.7), ["a"], ["'pass_threshold' of the spec"]),
    (JUDGE, ["a", "b"], ["the model that answers (b, not a)"]),
    (JUDGE, [], []),
]


@pytest.mark.parametrize(("spec", "models", "changes"), CHANGES)
def test_a_verdict_expires_with_model_prompt_and_sampling(
    spec: dict[str, Any], models: list[str], changes: list[str]
) -> None:
    made_on = binding(graders.compile(JUDGE).spec, {"engine": "1"}, ["a"])
    now = binding(graders.compile(spec).spec, {"engine": "2"}, models)

    assert list(made_on.changes(now)) == changes


def test_a_binding_names_the_member_of_a_multi() -> None:
    one, other = (multi("a", {"a": string_check(operation=op)}) for op in ("eq", "like"))
    first, second = (binding(graders.compile(spec).spec, {}) for spec in (one, other))

    assert list(first.changes(second)) == ["'graders.a.operation' of the spec"]


def test_the_command_and_what_a_report_says_of_it(tmp_path: Path) -> None:
    """A gate decides the exit code; the claims file is shown beside the results that it holds for, and else expires."""
    spec, data, claims, out = (
        tmp_path / name for name in ("spec.json", "data.csv", "claims.json", "out.jsonl")
    )
    spec.write_text(json.dumps(string_check()))
    rows = [
        {"id": row["id"], "output": row["sample"], "answer": "Paris", "ann": row["ann"]} for row in labelled()
    ]
    with data.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(command, [*arguments, "--label", "ann"], standalone_mode=False)

    met = run(str(spec), str(data), "--gate", "kappa>=0.5", "--claims", str(claims))
    missed = run(str(spec), str(data), "--gate", "kappa>=0.95")
    assert (met.return_value, missed.return_value) == (0, 1)
    assert "kappa 0.80" in met.stdout

    grade_dataset(graders.compile(str(spec)), str(data), str(out))
    (claim,) = make_report(out, claims=claims, rows=False).claims
    assert claim.text.startswith("calibrated: kappa 0.80 [")
    assert claim.text.endswith("on 60 labels")
    assert claim.expired == ()
    assert claim.corrected is not None

    again = run(str(out), "-o", "-")
    assert json.loads(again.stdout)["agreement"]["kappa"]["value"] == pytest.approx(0.8)

    other = tmp_path / "other.jsonl"
    grade_dataset(graders.compile(string_check(operation="ilike")), str(data), str(other))
    (claim,) = make_report(other, claims=claims, rows=False).claims
    assert claim.expired == ("'operation' of the spec",)
    assert claim.corrected is None
    assert claim.text_as_of_now.startswith("expired")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{", "no claims file"),
        ("{}", "no claims file"),
        ('{"graders_claims": 1, "attack": {"text": "x"}}', "the part 'attack'"),
    ],
)
def test_other_files_are_no_claims(text: str, error: str, tmp_path: Path) -> None:
    claims, out = tmp_path / "claims.json", tmp_path / "out.jsonl"
    claims.write_text(text)
    grade_dataset(graders.compile(string_check()), labelled(4, 1), str(out))

    with pytest.raises(ResultsError, match=error):
        make_report(out, claims=claims, rows=False)


def test_claims_are_shown_as_text_in_every_form(tmp_path: Path) -> None:
    """Claims are text: they make no markup on the page and no control characters on the terminal."""
    claims, out = tmp_path / "claims.json", tmp_path / "out.jsonl"
    grade_dataset(graders.compile(string_check()), labelled(4, 1), str(out))
    made_on = binding(graders.compile(string_check()).spec, {})
    write_claim(claims, "attack", "<script>alert(1)</script>\x1b[31m", made_on)

    report = make_report(out, claims=claims)

    assert "<script>alert" not in page(report)
    assert "&lt;script&gt;alert" in page(report)
    assert "\x1b" not in summary_text(report.summary, claims=report.claims)
    assert "<script>" not in summary_markdown(report.summary, claims=report.claims)
    assert report.to_json()["claims"][0]["name"] == "attack"


def test_parts_of_a_claims_file_are_kept(tmp_path: Path) -> None:
    """Each command writes its own part in the place of an older one, and leaves the others."""
    claims = tmp_path / "claims.json"
    made_on = binding(graders.compile(string_check()).spec, {})
    for name, text in (("attack", "first"), ("mutation", "other"), ("attack", "second")):
        write_claim(claims, name, text, made_on)

    found = json.loads(claims.read_text())

    assert {name: found[name]["text"] for name in ("attack", "mutation")} == {
        "attack": "second",
        "mutation": "other",
    }


MISTAKES = [
    (["nobody"], "no row has a field 'nobody'"),
    (["topic"], "label field 'topic' holds 'maths'"),
    ([], "at least one field"),
]


@pytest.mark.parametrize(("labels", "error"), MISTAKES)
def test_mistakes_in_labels_are_reported(labels: list[str], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        calibrate(graded(string_check(), labelled()), labels)


def test_results_without_texts_have_no_labels(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    grade_dataset(graders.compile(string_check()), labelled(4, 1), str(out), texts=False)

    with pytest.raises(ResultsError, match="--no-texts"):
        from_results(out)


class BiasedJudge:
    """A judge whose score is the logistic of a row's quality, with so much more for what it likes."""

    def __init__(self, liked: str, bias: float, seed: int = 0, noise: float = 0.0) -> None:
        self._liked, self._bias, self._seed, self._noise = liked, bias, seed, noise

    def __call__(self, body: Mapping[str, Any]) -> float:
        text = body["messages"][-1]["content"]
        quality = float(text.partition("quality ")[2].partition(";")[0])
        # of the text alone, since questions are asked at once and in no order
        chance = int.from_bytes(hashlib.sha256(f"{self._seed} {text}".encode()).digest()[:6]) / 2**48
        noise = self._noise * NormalDist().inv_cdf(min(max(chance, 1e-12), 1 - 1e-12))
        return 1 / (1 + math.exp(-(quality + self._bias * (self._liked in text) + noise)))


def answers(n: int, seed: int = 0) -> list[dict[str, Any]]:
    chance = np.random.default_rng(seed)
    return [
        {"id": str(at), "sample": f"quality {quality:.3f};", "item": {}, "right": bool(quality > 0)}
        for at, quality in enumerate(chance.normal(size=n))
    ]


PLANTED = [
    ("verbosity", LONGER, 1.5),
    ("formatting", "## Answer", -1.5),
    ("self_preference", "written by judge", 1.5),
    ("language", "Voici", -1.5),
]


@pytest.mark.parametrize(("probe", "liked", "bias"), PLANTED)
def test_a_planted_bias_is_found_and_no_other(probe: str, liked: str, bias: float) -> None:
    """Of all probes, only that of the judge's planted bias finds something, with the right direction."""
    with graders.Backends(models=BiasedJudge(liked, bias)) as backends:
        effects = probed(graded(score_model(), answers(60), backends=backends))

    assert [effect.probe for effect in effects if effect.found] == [probe]
    (found,) = (effect for effect in effects if effect.found)
    assert math.copysign(1, found.effect.value) == math.copysign(1, bias)
    assert "position" not in [effect.probe for effect in effects]


def test_position_needs_two_candidates() -> None:
    """A judge that says "the first is better" nine times in ten pays for the place."""

    def judge(body: Mapping[str, Any]) -> float:
        first, second = body["messages"][-1]["content"].split("|")
        return 1.0 if int(first[1:]) % 10 else float(first > second)

    spec = score_model(input=[{"role": "user", "content": "{{item.a}}|{{item.b}}"}])
    rows = [{"id": str(at), "item": {"a": f"x{at}", "b": f"y{at}"}, "sample": "-"} for at in range(40)]
    with graders.Backends(models=judge) as backends:
        (effect,) = probed(graded(spec, rows, backends=backends), ["position"], swap=("a", "b"))

    assert effect.effect.low > 0.5
    assert effect.found


def test_a_judge_that_wavers_is_found() -> None:
    """A judge that answers differently each time is found; equal questions are asked anew."""
    asked = {row["sample"]: itertools.count() for row in answers(40)}

    def judge(body: Mapping[str, Any]) -> float:
        return float(next(asked[body["messages"][-1]["content"].removeprefix("Rate this: ")]) % 2)

    with graders.Backends(models=judge) as backends:
        rows = graded(score_model(sampling_params={"temperature": 0}), answers(40), backends=backends)
        (effect,) = probed(rows, ["repeats"])

    assert effect.found
    assert effect.effect.value > 0.2


@pytest.mark.slow
def test_calibration_recovers_planted_errors() -> None:
    """Intervals hold the judge's true kappa, AUROC, sensitivity and length bias in 95 % of 500 runs.

    As often as runs of that chance do: fewer would be seen once in a hundred. benchmarks/coverage.py makes 20,000.
    """
    bias, noise, n = 0.8, 1.0, 60
    chance = np.random.default_rng(11)
    quality = chance.normal(size=400_000)
    short, long = (
        1 / (1 + np.exp(-(quality + more + noise * chance.normal(size=quality.size)))) for more in (0.0, bias)
    )
    yes = quality > 0
    truth = {
        "kappa": kappa(confusion(short >= 0.5, yes)),
        "sensitivity": float((short[yes] >= 0.5).mean()),
        "auroc": float((np.searchsorted(np.sort(short[~yes]), short[yes]) / (~yes).sum()).mean()),
        "verbosity": float((long - short).mean()),
    }
    covered = dict.fromkeys(truth, 0)
    for seed in range(500):
        with graders.Backends(models=BiasedJudge(LONGER, bias, seed, noise)) as backends:
            rows = graded(score_model(pass_threshold=0.5), answers(n, 1000 + seed), backends=backends)
            figures = calibrate(rows, ["right"]).figures()
            figures["verbosity"] = probed(rows, ["verbosity"])[0].effect
        for name, value in truth.items():
            covered[name] += figures[name].low <= value <= figures[name].high
    assert min(binomial_tail(500 - held, 500, 0.05) for held in covered.values()) >= 0.01, covered


@pytest.mark.slow
def test_false_findings_are_few() -> None:
    """Of 300 runs of three probes on a judge without a bias, hardly more than one in twenty finds something."""
    found = 0
    for seed in range(1000, 1300):
        with graders.Backends(models=BiasedJudge("nothing at all", 0.0, seed, 0.3)) as backends:
            effects = probed(
                graded(score_model(), answers(12, seed), backends=backends),
                ["verbosity", "formatting", "language"],
            )
        found += any(effect.found for effect in effects)
    assert found <= 24

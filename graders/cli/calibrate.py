"""grader calibrate: how far a grader agrees with people."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Literal

import click

from graders.cli.shared.audits import claim, claims_option, refusals
from graders.cli.shared.common import (
    colors,
    config_option,
    data_options,
    group_option,
    label_threshold_option,
    save,
    spec_argument,
)
from graders.cli.shared.gates import (
    exit_code,
    inconclusive_option,
    pass_threshold_option,
    print_unmet,
    surely_option,
)
from graders.wording import plural

if TYPE_CHECKING:
    from graders.calibration.calibration import Calibration
    from graders.calibration.rows import GradedRows
    from graders.stats.estimates import Estimate


def _swap(context: click.Context, option: click.Parameter, given: str | None) -> tuple[str, str] | None:
    if given is None:
        return None
    one, _, other = given.partition("=")
    if not one or not other:
        raise click.BadParameter(f"{given!r}; expected two fields, such as first=second", context, option)
    return one, other


@click.command()
@click.argument("spec", type=click.Path(allow_dash=True))
@click.argument("data", required=False, type=click.Path(exists=True, dir_okay=False))
@click.option(
    "--label",
    "labels",
    multiple=True,
    required=True,
    metavar="FIELD",
    help="Field with a person's label: true/false, 0/1, pass/fail, a number; once for each annotator.",
)
@label_threshold_option
@group_option
@click.option(
    "--slice",
    "slices",
    multiple=True,
    metavar="FIELD",
    help="Show the agreement for each value of FIELD; may be repeated.",
)
@click.option(
    "--width",
    type=click.FloatRange(min=0, min_open=True),
    default=0.1,
    show_default=True,
    metavar="W",
    help="Show the number of labels for an interval of kappa of this width.",
)
@click.option(
    "--probe",
    "probes",
    multiple=True,
    metavar="NAME",
    help="Ask the judge about two forms of each answer: verbosity, formatting, self_preference, language, position, repeats, or all.",
)
@click.option(
    "--swap",
    callback=_swap,
    metavar="A=B",
    help="For position: the two fields whose values a judge compares.",
)
@click.option(
    "--probe-rows",
    type=click.IntRange(min=2),
    default=100,
    show_default=True,
    metavar="N",
    help="Rows that each probe asks about, two calls each.",
)
@click.option(
    "--gate",
    "gates",
    multiple=True,
    metavar="DEMAND",
    help="Exit 1 unless it is met: kappa>=0.7, brier<=0.1; may be repeated.",
)
@surely_option
@inconclusive_option
@pass_threshold_option
@claims_option
@click.option("-o", "--output", metavar="FILE", help="Write the result as JSON; - prints it.")
@data_options
@config_option
def command(
    spec: str, data: str | None, labels: tuple[str, ...], label_threshold: float | None, group: str | None,
    slices: tuple[str, ...], width: float, probes: tuple[str, ...], swap: tuple[str, str] | None, probe_rows: int,
    gates: tuple[str, ...], surely: bool, inconclusive: Literal["pass", "fail"], pass_threshold: float | None,
    claims: str | None, output: str | None, config: str | None, **fields: Any,
) -> int:  # fmt: skip
    """Measure the agreement of SPEC with people's labels on DATA, and the biases of a judge.

    DATA are rows with samples and labels: JSONL, JSON, CSV or Parquet. Without DATA, SPEC is a results file of
    `grader batch`, whose rows are graded already. The result holds for the spec, the judge's settings and the
    model that answered.

    \b
    grader calibrate judge.json labelled.jsonl --label alice --label bob --gate 'kappa>=0.7'
    grader calibrate results.jsonl --label human --probe verbosity --claims judge.claims.json
    """
    import graders
    from graders.calibration.calibration import calibrate, gate

    with refusals():
        with graders.Backends(config=config) as backends:
            rows = _rows(spec, data, fields, backends)
            effects = _effects(rows, probes, swap, group, probe_rows)
            found = calibrate(
                rows,
                labels,
                label_threshold=label_threshold,
                pass_threshold=pass_threshold,
                group=group,
                slices=slices,
                width=width,
                effects=effects,
            )
        held = [gate(found, demand, surely=surely) for demand in gates]
    text = json.dumps(found.to_json(), indent=2, ensure_ascii=False)
    if output == "-":
        click.echo(text)
    else:
        _show(found)
    if output not in (None, "-"):
        save(text, str(output), [spec, *([data] if data else [])])
    if claims:
        _claim(found, claims)
    print_unmet(held)
    return exit_code(held, inconclusive)


def _rows(spec: str, data: str | None, fields: dict[str, Any], backends: Any) -> GradedRows:
    from graders.calibration.rows import from_results, graded
    from graders.datasets.load import load_rows

    if data is None:
        return from_results(spec, backends=backends)
    rows = load_rows(data, format_=fields["format_"])
    return graded(
        spec_argument(spec),
        rows,
        backends=backends,
        sample=fields["sample_field"],
        item=fields["item_field"],
        row_id=fields["id_field"],
        item_map=fields["item_map"],
    )


def _effects(
    rows: GradedRows, probes: tuple[str, ...], swap: tuple[str, str] | None, group: str | None, most_rows: int
) -> Any:
    from graders.calibration.bias import PROBES, probed

    if "position" in probes and swap is None:
        raise click.UsageError(
            "--probe position needs --swap A=B, the fields of the two that the judge compares"
        )
    names = tuple(PROBES) if "all" in probes else probes
    return probed(rows, names, swap=swap, group=group, most_rows=most_rows) if names else ()


def _claim(found: Calibration, path: str) -> None:
    from graders.stats.figures import to_json

    agreed = found.agreement
    claim(
        path,
        "calibration",
        _claimed(found),
        found.binding,
        threshold=None if agreed.cut is None else agreed.cut.threshold,
        sensitivity=to_json(agreed.sensitivity),
        specificity=to_json(agreed.specificity),
    )


def _claimed(found: Calibration) -> str:
    """ "calibrated: kappa 0.81 [0.74, 0.87] on 240 labels", and what its probes found."""
    agreed = found.agreement
    if agreed.kappa is not None:
        text = f"calibrated: kappa {_figure(agreed.kappa)} on {plural(agreed.n, 'label')}"
    else:
        text = f"calibrated: rank correlation {agreed.rank_correlation:.2f} on {plural(agreed.n, 'rating')}"
    paid = [
        f"{'pays' if effect.effect.value > 0 else 'punishes'} {effect.pays} ({effect.effect.value:+.2f})"
        for effect in found.effects
        if effect.found
    ]
    return f"{text}; it {', '.join(paid)}" if paid else text


def _figure(found: Estimate) -> str:
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def _show(found: Calibration) -> None:
    from graders.report.format import agreement_text

    colour, agreed = colors(sys.stdout), found.agreement
    lines = [("calibrated", _claimed(found).removeprefix("calibrated: "))]
    lines.append(("labels", agreement_text(agreed)))
    if found.tied:
        lines.append(("tied", f"{plural(found.tied, 'row')} without a majority of annotators, left out"))
    if found.failed:
        lines.append(("failed", f"{plural(found.failed, 'row')} could not be graded, in no figure"))
    for name, rate in (
        ("passes right", agreed.sensitivity),
        ("fails wrong", agreed.specificity),
        ("Brier score", agreed.brier),
    ):
        if rate is not None:
            lines.append((name, f"{rate.value:.4g}, {rate.between()}"))
    lines += [(each.field, agreement_text(each)) for each in found.by_annotator]
    if found.between is not None:
        lines.append(
            ("annotators", f"Krippendorff's alpha {found.between.value:.4g}, {found.between.between()}")
        )
    if found.with_grader is not None:
        lines.append(("with grader", f"alpha {found.with_grader.value:.4g}, {found.with_grader.between()}"))
    for slice_ in found.slices:
        rate = slice_.agreement
        lines.append(
            (
                "slice",
                f"{slice_.field} {slice_.value}: agree on {rate.value:.4g} of {plural(rate.n, 'row')}, {rate.between()}, p {slice_.p:.2g}",
            )
        )
    for effect in found.effects:
        text = f"{effect.effect.value:+.4g} for {effect.pays}, {effect.effect.between('+')}, adjusted p {effect.adjusted:.2g}"
        lines.append(("probe", click.style(text, fg="red") if effect.found else text))
    if found.more_labels:
        lines.append(
            ("power", f"some {found.more_labels:,} more labels for an interval of kappa of {found.width:g}")
        )
    for name, text in lines:
        click.echo(f"{name:13} {text}", color=colour)

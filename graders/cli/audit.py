"""grader audit: the reward checks on a handful of rows."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from graders.cli import NOT_MET, OK
from graders.cli.shared.audits import bound_to, claim, claims_option, echo_json, refusals, rows_argument
from graders.cli.shared.common import colors, config_option, spec_argument
from graders.wording import plural

if TYPE_CHECKING:
    from graders.engine.grader import Grader
    from graders.session.findings import Finding

#: --fail-on -> the severities that end in exit code 1.
FAIL_ON = {
    "exploit": ("exploit",),
    "fault": ("exploit", "fault"),
    "note": ("exploit", "fault", "note"),
    "never": (),
}
_COLOURS = {"exploit": "red", "fault": "red", "note": "yellow"}


@click.command()
@click.argument("spec", type=click.Path(allow_dash=True))
@rows_argument
@click.option(
    "--check", "checks", multiple=True, metavar="NAME", help="Run only this check; may be repeated."
)
@click.option("--skip", multiple=True, metavar="NAME", help="Skip this check; may be repeated.")
@click.option(
    "--blind-to",
    multiple=True,
    type=click.Choice(("whitespace", "case")),
    help="A difference that SPEC is expected to ignore; may be repeated.",
)
@click.option(
    "--scale", nargs=2, type=float, metavar="LOW HIGH", help="The rewards of a wrong and a right answer."
)
@click.option(
    "--max-rows",
    type=click.IntRange(min=1),
    metavar="N",
    help="Largest number of rows; more are sampled. Default: 24, or 6 if a judge is asked.",
)
@click.option(
    "--fail-on",
    type=click.Choice(tuple(FAIL_ON)),
    default="fault",
    show_default=True,
    help="The lowest severity with exit code 1.",
)
@claims_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
def command(
    spec: str, rows: str, checks: tuple[str, ...], skip: tuple[str, ...], blind_to: tuple[str, ...],
    scale: tuple[float, float] | None, max_rows: int | None, fail_on: str, claims: str | None, as_json: bool, config: str | None,
) -> int:  # fmt: skip
    """Check that SPEC rewards right answers and nothing else, repeats its rewards, and reads only its row.

    ROWS have the fields of reward checks: item, gold (a sample that deserves the top reward), prompt, bad. An
    exploit is a wrong answer that is rewarded, a fault is another error of the grader, a note may be intended.

    \b
    grader audit spec.json rows.jsonl
    grader audit spec.json rows.jsonl --skip latency --fail-on exploit --claims spec.claims.json
    """
    import graders
    from graders.audit.check import check_reward

    with refusals(), graders.Backends(config=config) as backends:
        grader = graders.compile(spec_argument(spec), backends=backends)
        found = check_reward(
            grader,
            rows,
            checks=checks or None,
            skip=skip,
            blind_to=blind_to,
            scale=scale,
            max_rows=max_rows,
            backends=backends,
        )
    if as_json:
        echo_json([_document(finding) for finding in found])
    else:
        for finding in found:
            severity = click.style(finding.severity, fg=_COLOURS[finding.severity], bold=True)
            click.echo(f"{severity}: {str(finding).removeprefix('note: ')}", color=colors(sys.stdout))
        click.echo(_findings_text(found))
    if claims:
        _claim(found, grader, claims)
    return NOT_MET if any(finding.severity in FAIL_ON[fail_on] for finding in found) else OK


def _findings_text(found: Sequence[Finding]) -> str:
    counts: Counter[str] = Counter(finding.severity for finding in found)
    return (
        ", ".join(plural(counts[severity], severity) for severity in _COLOURS if counts[severity])
        or "nothing found"
    )


def _document(finding: Finding) -> dict[str, Any]:
    return {name: getattr(finding, name) for name in finding.__slots__}


def _claim(found: Sequence[Finding], grader: Grader, path: str) -> None:
    checks = ", ".join(dict.fromkeys(finding.check for finding in found if finding.severity != "note"))
    text = f"reward checks: {_findings_text(found)}{f' ({checks})' * bool(checks)}"
    claim(path, "audit", text, bound_to(grader))

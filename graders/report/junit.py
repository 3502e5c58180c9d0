"""A report as JUnit XML, for a CI."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree

from graders.report.format import verdict, visible
from graders.report.report import Report, ReportRow

#: Characters of each text of a failure.
TEXT_MAX = 2000


def junit(report: Report) -> str:
    """JUnit XML with a test case for each gate, then one for each row shown.

    A failed row is an error; a row below the threshold and a gate that is not met are failures. Failures include the
    output, the reference and the grader's messages.
    """
    summary = report.summary
    name = xml_text(summary.header.name or summary.header.type)
    suite = ElementTree.Element("testsuite", name=name)
    counts = {"failures": 0, "errors": 0}

    def case(
        of: str, title: str, kind: str = "", message: str = "", text: str = "", time: float | None = None
    ) -> None:
        made = ElementTree.SubElement(suite, "testcase", classname=f"{name}.{of}", name=xml_text(title))
        if time is not None:
            made.set("time", f"{time:.6f}")
        if kind:
            counts[f"{kind}s"] += 1
            ElementTree.SubElement(made, kind, message=xml_text(message)).text = xml_text(text) or None

    for gate in report.gates:
        case("gates", gate.name, "" if gate.met else "failure", f"{gate.verdict}: {gate.text}")
    for shown in report.rows:
        row = shown.row
        kind = message = text = ""
        if row.reward is None:
            kind, message = "error", "; ".join((*row.flags, *row.errors))
        elif summary.threshold is not None and row.reward < summary.threshold:
            kind, message = "failure", f"reward {row.reward:g} is below {summary.threshold:g}"
        if kind:
            text = about_row(shown)
        case("rows", row.id, kind, message, text, row.seconds)
    suite.set("tests", str(len(suite)))
    for kind, n in counts.items():
        suite.set(kind, str(n))
    ElementTree.SubElement(suite, "system-out").text = xml_text(
        f"{verdict(summary)} Test cases: {report.held}"
    )
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def about_row(shown: ReportRow) -> str:
    """The texts that explain to the author of a row why it failed."""
    row = shown.row
    parts = [
        ("output", row.output_text),
        ("reference", shown.reference),
        ("sub-rewards", ", ".join(f"{key} {value:g}" for key, value in row.sub_rewards.items())),
        ("reason", "\n".join(row.errors)),
        ("grader", json.dumps(row.provenance, ensure_ascii=False, indent=1) if row.provenance else ""),
    ]
    return "\n".join(f"{name}: {text[:TEXT_MAX]}" for name, text in parts if text)


def xml_text(text: str) -> str:
    """The text with invisible characters named and without the characters that XML forbids."""
    return re.sub(
        "[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\N{REPLACEMENT CHARACTER}", visible(text)
    )

"""Outcomes of a suite as JUnit XML, with a test case for each test."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from graders.report.junit import about_row, xml_text
from graders.testing.suite_runs import Outcome

#: Rows in the text of a failure.
ROWS_SHOWN = 10


def suite_junit(name: str, outcomes: Sequence[Outcome]) -> str:
    """JUnit XML of a suite. A failed test lists its gates and worst rows; a broken one is an error."""
    suite = ElementTree.Element("testsuite", name=xml_text(name), tests=str(len(outcomes)))
    for outcome in outcomes:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=xml_text(name),
            name=xml_text(outcome.name),
            time=f"{outcome.seconds:.3f}",
        )
        if outcome.verdict == "passed":
            continue
        kind = "failure" if outcome.verdict == "failed" else "error"
        message = outcome.error or "; ".join(f"{gate.name} {gate.text}" for gate in outcome.unmet)
        ElementTree.SubElement(case, kind, message=xml_text(message or outcome.verdict)).text = xml_text(
            "\n\n".join(f"row {row.row.id}\n{about_row(row)}" for row in outcome.worst(ROWS_SHOWN))
        )
    for kind in ("failure", "error"):
        suite.set(f"{kind}s", str(len(list(suite.iter(kind)))))
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"

"""python -m graders_sandbox bench: it measures, compares and judges."""

from __future__ import annotations

import pytest

from graders_sandbox.host import bench
from tests.sandbox.jails import a_tier


@pytest.mark.slow
def test_the_bench_measures_every_way() -> None:
    """Few rounds say nothing about speed, but everything is there, positive, and judged by its own bound."""
    tier = a_tier()

    report = bench.measure(5, 0.2)

    ways = {way["name"]: way for way in report["ways"]}
    assert {
        "bare fork",
        "naked fork server",
        "jailed",
        "jailed, no child waiting",
        f"layers: {tier}",
        "python -c",
    } <= ways.keys()
    assert all(way["p50_ms"] > 0 and way["p95_ms"] >= way["p50_ms"] for way in ways.values())
    assert ways["bare fork"]["p50_ratio"] == 1.0
    assert ways["python -c"]["p50_ms"] > ways["bare fork"]["p50_ms"]
    for goal in report["goals"]:
        held = goal["found"] <= goal["at_most"] if "at_most" in goal else goal["found"] >= goal["at_least"]
        assert goal["met"] == held
    assert 0 < report["private_bytes"] < 50_000_000

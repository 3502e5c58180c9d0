"""What a release installs: every version pinned once, every file by its hash."""

from __future__ import annotations

import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
LOCKED = sorted((ROOT / "requirements").glob("*.txt"))


def name(text: str) -> str:
    return text.lower().replace("_", "-").replace(".", "-")


@pytest.mark.parametrize("path", LOCKED, ids=[path.stem for path in LOCKED])
def test_locked_versions_are_those_of_the_tests(path: Path) -> None:
    """Each requirement has hashes and the version that continuous integration installs; no address stands there."""
    pins = {name(package): version for package, version in PINS.items()}
    entries = re.split(r"\n(?=\S)", path.read_text().strip())

    assert len(entries) > 20
    for entry in entries:
        package, version = re.match(r"(\S+)==(\S+)", entry).groups()  # type: ignore[union-attr]  # every entry is pinned
        assert "--hash=sha256:" in entry, package
        assert "://" not in entry
        assert pins.get(name(package), version) == version, package


def test_the_container_checks_hashes() -> None:
    """Every package of the container comes from a locked file; nothing else is resolved while it is built."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    installs = [line for line in lines if "pip install" in line]

    assert installs
    assert all("--require-hashes" in line or "--no-deps" in line for line in installs)


def test_the_container_has_one_base_by_digest() -> None:
    """A tag may become another image between two builds; the build argument's default may not."""
    text = (ROOT / "Dockerfile").read_text()

    assert re.search(r"^ARG BASE=python:[\d.]+-slim@sha256:[0-9a-f]{64}$", text, re.M)
    assert re.findall(r"^FROM (.*)$", text, re.M) == ["${BASE}"]


def test_the_container_copies_what_its_build_needs() -> None:
    """The container copies the wheel's sources, and .dockerignore lets them through."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = {source for line in lines if line.startswith("COPY ") for source in line.split()[1:-1]}
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    needed = {package.partition("/")[0] for package in wheel["packages"]} | set(wheel["force-include"])

    assert sorted((needed | {"pyproject.toml", "hatch_build.py", "README.md"}) - copied) == []
    assert sorted(copied - allowed) == []


def test_a_release_has_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """PROJECT_URL gives the package's page its links, and the README's own ones lead there; without it there are none."""
    pytest.importorskip("hatchling")
    hook = runpy.run_path(str(ROOT / "hatch_build.py"))["ReleaseAddress"](str(ROOT), {})
    metadata: dict[str, Any] = {}

    monkeypatch.delenv("PROJECT_URL", raising=False)
    hook.update(metadata)
    assert metadata["urls"] == {}
    assert metadata["readme"]["text"] == (ROOT / "README.md").read_text(encoding="utf-8")

    monkeypatch.setenv("PROJECT_URL", "https://example.org/local-graders/")
    hook.update(metadata)
    links = re.findall(r"\]\(([^)\s]+)\)", metadata["readme"]["text"])
    assert {"Homepage", "Documentation", "Source", "Changelog", "Issues"} == set(metadata["urls"])
    assert len(links) > 10
    assert [link for link in links if not link.startswith("https://")] == []


SITE = runpy.run_path(str(ROOT / "scripts" / "site.py"))


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("a.html", '<script src="https://cdn.example/x.js"></script>', ["a.html: https://cdn.example/x.js"]),
        ("a.html", '<link href="//fonts.example/x.css" rel="stylesheet">', ["a.html: //fonts.example/x.css"]),
        ("a.html", '<a href="https://example.org">read</a><img src="img/report.png">', []),
        (
            "a.css",
            "@import 'https://fonts.example/a';b{background:url(x.png)}",
            ["a.css: https://fonts.example/a"],
        ),
        ("a.css", 'b{background:url("http://x.example/y")}', ["a.css: http://x.example/y"]),
    ],
)
def test_a_site_that_loads_from_elsewhere_is_refused(
    tmp_path: Path, name: str, text: str, found: list[str]
) -> None:
    (tmp_path / name).write_text(text)

    assert list(SITE["remote_loads"](tmp_path)) == found

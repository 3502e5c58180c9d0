"""The packages of the hosted image: the extra that installs them, and what `doctor SPEC` says is missing."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from graders.cli import main
from graders.kinds.python import PACKAGES
from graders_sandbox.host.sources.imports import HOSTED

ROOT = Path(__file__).parents[2]
EXTRA = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["hosted"]


def test_extra_installs_the_image() -> None:
    """Each package that is loaded ahead of programs is in the extra, and pinned."""
    names = {re.split(r"[<>=]", requirement)[0] for requirement in EXTRA}
    pinned = {
        line.partition("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
    }

    assert names == {PACKAGES.get(name, name) for name in HOSTED}
    assert names <= pinned


def test_doctor_says_what_programs_need(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packages, corpora and files of a spec's programs, also behind try and inside multi."""
    monkeypatch.setenv("NLTK_DATA", str(tmp_path))
    monkeypatch.setattr("graders.doctor.machine.sandbox_tier", lambda backends: ())
    (tmp_path / "corpora" / "stopwords").mkdir(parents=True)
    program = (
        "def grade(sample, item):\n    import numpy\n    try:\n        import a_package_of_nobody\n"
        "    except ImportError:\n        pass\n    from nltk.corpus import stopwords, swadesh\n    open('key.csv')\n    return 1.0"
    )
    member = {"type": "python", "name": "p", "source": program}
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"type": "multi", "graders": {"p": member}, "calculate_output": "p"}))

    with pytest.raises(SystemExit) as end:
        main(["doctor", str(spec), "--json"])

    found = {f["name"]: f for f in json.loads(capsys.readouterr().out) if f["part"] == "programs"}
    assert {name: finding["ok"] for name, finding in found.items()} == {
        "a_package_of_nobody": False,
        "key.csv": None,
        "nltk": True,
        "nltk stopwords": True,
        "nltk swadesh": False,
        "numpy": True,
    }
    assert "pip install a_package_of_nobody" in found["a_package_of_nobody"]["text"]
    assert "NLTK_DATA" in found["nltk swadesh"]["text"]
    assert end.value.code == 1


@pytest.mark.parametrize(
    ("package", "says"),
    [("numpy", "installed"), ("pandas", "several times"), ("pyarrow", "imported anew by each sample")],
)
def test_doctor_names_the_remedy_of_costly_packages(package: str, says: str) -> None:
    """F3: where a package makes each sample slow, doctor says why and what helps."""
    from graders.doctor.programs import installed

    assert says in installed(package)
    assert ("samples_per_process" in installed(package)) is (package != "numpy")

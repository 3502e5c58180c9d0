"""Diagnoses of the dependencies of specs' programs: packages, nltk's data, files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from graders.doctor.diagnosis import Diagnosis, NamedSpec

#: Packages with which a sample costs more than three times one with numpy (benchmarks/README.md): it is a fork of a
#: process that has loaded them.
COSTLY = frozenset(("pandas", "sympy", "sklearn", "skbio", "rdkit"))


def needs(specs: Iterable[NamedSpec]) -> Iterator[Diagnosis]:
    """One line for each package, corpus and file."""
    from graders.kinds.python import PACKAGES
    from graders_sandbox import SandboxUnavailable, read_source
    from graders_sandbox.host.visible import nltk_data

    for spec in specs:
        sources = [source for leaf in spec.leaves if (source := leaf.program()) is not None]
        try:
            facts = [read_source(source) for source in sources]
        except (SandboxUnavailable, OSError) as error:
            yield Diagnosis("programs", spec.name, None, f"not read: {error}")
            continue
        for name in sorted({name for fact in facts for name in fact.packages}):
            missing = any(name == module.partition(".")[0] for fact in facts for module in fact.missing)
            text = f"not installed: pip install {PACKAGES.get(name, name)}" if missing else installed(name)
            yield Diagnosis("programs", name, not missing, f"{text}, for {spec.name}")
        for kind, name in sorted({resource for fact in facts for resource in fact.resources}):
            if kind == "file":
                text = "only a file that the program wrote before: put the content of others into the items"
                yield Diagnosis("programs", name, None, f"{text}, for {spec.name}")
                continue
            path = nltk_data(name)
            absent = f"not here: python -m nltk.downloader -d FOLDER {name}, and NLTK_DATA=FOLDER in the environment"
            yield Diagnosis("programs", f"nltk {name}", bool(path), f"{path or absent}, for {spec.name}")


def installed(package: str) -> str:
    """The cost of a package for each sample, with a remedy if it is high."""
    from graders_sandbox.host.sources.imports import HOSTED

    remedy = "`samples_per_process` of [sandbox] makes it a small part of that, and gives up a process for each sample"
    if package not in HOSTED:
        return f"installed, and imported anew by each sample, since the hosted image has no such package: {remedy}"
    if package in COSTLY:
        return f"installed; a sample costs several times one with numpy, whose process is smaller: {remedy}"
    return "installed"

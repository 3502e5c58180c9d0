"""A graders.toml that is found, not named, sets nothing that could harm who found it."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from graders.config import files, harmless, trust
from graders.config.config import ConfigError, load_config

HARMFUL = [
    # toml, the setting that the refusal names
    ("[sandbox]\nunsandboxed = true", "sandbox.unsandboxed = True"),
    ('[sandbox]\ntier = "linux-strict"', "sandbox.tier = 'linux-strict'"),
    ("[sandbox]\nsamples_per_process = 8", "sandbox.samples_per_process = 8"),
    ("[sandbox.limits]\nmemory_bytes = 64_000_000_000", "sandbox.limits.memory_bytes = 64000000000"),
    ('[judge]\nrecording = "/any/path"', "judge.recording = '/any/path'"),
    ('[judge]\nbase_url = "https://stranger.example/v1"', "judge.base_url"),
    ('[judge]\napi_key_env = "AWS_SECRET_ACCESS_KEY"', "judge.api_key_env"),
    ("[judge]\nvotes = 1001", "judge.votes = 1001"),
    ('[endpoints.e]\nbase_url = "http://stranger.example/v1"', "endpoints.e.base_url"),
    ('[endpoints.e]\nbase_url = "http://127.0.0.1.stranger.example/v1"', "endpoints.e.base_url"),
    ('[endpoints.e]\nbase_url = "http://127.0.0.1#.stranger.example/v1"', "endpoints.e.base_url"),
    ('[endpoints.e]\nbase_url = "http://127.0.0.1/v1\\n.stranger.example"', "endpoints.e.base_url"),
    ('[endpoints.e]\nbase_url = "http://127.0.0.1/v1"\napi_key_env = "HOME"', "endpoints.e.api_key_env"),
    ('[endpoints.e]\nbase_url = "http://127.0.0.1/v1"\nazure = true', "endpoints.e.azure"),
    ('[endpoints.e]\nbase_url = "http://127.0.0.1/v1"\nheaders = {a = "b"}', "endpoints.e.headers = "),
    ('[models."gpt-4o"]\nbase_url = "https://api.openai.com/v1"', "models.gpt-4o.base_url"),
    ('[models."a.b"]\napi_key_env = "X"', "models.'a.b'.api_key_env"),
    ('[embeddings]\nmodel = "./folder"', "embeddings.model"),
]
HARMLESS = [
    '[endpoints.e]\nbase_url = "http://127.0.0.1:8000/v1"\napi_key_env = ""\n[models]\n"*" = "e"',
    '[models]\n"o3-mini" = { base_url = "http://localhost:11434/v1", model = "qwen3:8b" }',
    '[models."*"]\nbase_url = "http://[::1]:8000/v1"\nmax_in_flight = 2\nattempt_timeout_s = 300\nsteps = false',
    "[judge]\nmax_calls = 10\nmax_cost = 1.5\nharden = true\nvotes = 3",
    '[sandbox]\nrequire = "linux-landlock"\nunsandboxed = false\n[sandbox.limits]\nmemory_bytes = 100_000_000',
    '[metrics]\nimplementation = "reference"\n[metrics.rouge_l]\nstemmer = true',
    "[prices.m]\ninput = 1\noutput = 2",
    '[templates]\nvalues = "python"',
    '[embeddings]\nmodel = "minilm"',
    '[endpoints.e]\nbase_url = "http://127.0.0.1:8000/v1"\n[embeddings]\nendpoint = "e"\nmodel = "any"',
]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository that the process stands in, and a data folder in which nothing is trusted yet."""
    root = tmp_path / "repository"
    (root / ".git").mkdir(parents=True)
    monkeypatch.chdir(root)
    monkeypatch.delenv("GRADERS_CONFIG", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return root


def config_in(folder: Path, toml: str = "[sandbox]\nunsandboxed = true\n") -> Path:
    path = folder / "graders.toml"
    path.write_text(toml)
    return path


def grader(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "graders.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **env},
    )


@pytest.mark.parametrize(("toml", "setting"), HARMFUL, ids=[setting for _, setting in HARMFUL])
def test_harmful_settings_need_trust(repository: Path, toml: str, setting: str) -> None:
    """The refusal names the file, the setting and both ways on; asked for, the same file is read."""
    path = config_in(repository, toml)

    with pytest.raises(ConfigError) as refused:
        load_config()

    message = str(refused.value)
    assert setting in message
    assert f"grader trust {path}" in message
    assert f"--config {path}" in message
    assert load_config(path).path == path


@pytest.mark.parametrize("toml", HARMLESS)
def test_harmless_settings_need_no_trust(repository: Path, toml: str) -> None:
    path = config_in(repository, toml)

    assert load_config().path == path


def test_an_unlisted_setting_needs_trust() -> None:
    """The list says what is harmless, so a setting that somebody adds later is not by default."""
    tables = {"tuning": {"command": "x"}, "judge": {"new": 1}, "sandbox": {"limits": {"new": 1}}}

    assert harmless.settings_that_need_trust(tables) == [
        "tuning = {'command': 'x'}",
        "judge.new = 1",
        "sandbox.limits.new = 1",
    ]


def test_trust_ends_with_a_change(repository: Path) -> None:
    """Trust is for one path and one content; it can be taken back."""
    path = config_in(repository)
    trust.trust(files.read_file(path))

    assert load_config().path == path
    path.write_text("[sandbox]\nunsandboxed = true\nseed = 1\n")
    with pytest.raises(ConfigError, match="has changed since you trusted it"):
        load_config()
    trust.trust(files.read_file(path))
    assert load_config().path == path
    assert trust.revoke(path)
    with pytest.raises(ConfigError, match="nobody has trusted it"):
        load_config()


def test_the_same_content_elsewhere_is_not_trusted(repository: Path) -> None:
    trust.trust(files.read_file(config_in(repository)))
    other = repository / "other"
    other.mkdir()
    config_in(other)
    os.chdir(other)

    with pytest.raises(ConfigError, match="nobody has trusted it"):
        load_config()


def test_the_search_ends_at_the_root_of_the_repository(repository: Path) -> None:
    """A file above it, such as /tmp/graders.toml, is for nobody below."""
    config_in(repository.parent, "[judge]\nmax_attempts = 1\n")
    inner = repository / "a" / "b"
    inner.mkdir(parents=True)
    os.chdir(inner)

    assert load_config().path is None
    path = config_in(repository, "[judge]\nmax_attempts = 2\n")
    assert load_config().path == path


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="files have no owner by number here")
def test_the_search_ends_at_a_file_of_another_user(
    repository: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A file of another user is named in a warning and not read, however harmless it is."""
    path = config_in(repository, "[judge]\nmax_attempts = 1\n")
    monkeypatch.setattr(os, "getuid", lambda: path.stat().st_uid + 1)

    with caplog.at_level(logging.WARNING):
        config = load_config()

    assert config.path is None
    assert f"{path} belongs to another user" in caplog.text
    assert load_config(path).path == path


@pytest.mark.skipif(os.name == "nt", reason="files have no modes here")
def test_a_file_that_every_user_may_write_is_refused(repository: Path) -> None:
    path = config_in(repository, "[judge]\nmax_attempts = 1\n")
    path.chmod(0o666)

    with pytest.raises(ConfigError, match="every user of this machine may write it"):
        load_config()


def test_a_strangers_repository_runs_nothing_bare(repository: Path) -> None:
    """C2 of the review: `grader run` in a clone whose graders.toml says unsandboxed."""
    config_in(repository)
    witness = repository / "ran"
    source = f"def grade(sample, item):\n    open({str(witness)!r}, 'w').close()\n    return 1.0\n"
    (repository / "spec.json").write_text(json.dumps({"type": "python", "name": "p", "source": source}))

    refused = grader("run", "spec.json", "--sample", "x")

    assert refused.returncode == 1, refused.stderr
    assert "sandbox.unsandboxed = True" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not witness.exists()
    assert grader("trust").returncode == 0
    assert grader("run", "spec.json", "--sample", "x").returncode == 0
    assert witness.exists()


def test_grader_trust(repository: Path) -> None:
    """Says what it lets pass, lists it, and takes it back."""
    path = config_in(repository)

    said = grader("trust")
    listed = grader("trust", "--list")
    path.write_text("[sandbox]\nunsandboxed = true # again\n")
    changed = grader("trust", "--list")
    revoked = grader("trust", "--revoke")
    again = grader("trust", "--revoke")

    assert (said.returncode, said.stdout) == (0, "")
    assert f"trusted {path}" in said.stderr
    assert "sandbox.unsandboxed = True" in said.stderr
    assert listed.stdout == f"{path}\n"
    assert changed.stdout == f"{path}  (changed since, so not used)\n"
    assert (revoked.returncode, again.returncode) == (0, 1)
    assert grader("trust", "--list").stdout == ""


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[judge\n", "not TOML"),
        (b"\xff", "cannot be read"),
        (b"a = " + b"[" * 100_000, "not TOML"),
        (b"#" * 2**21, "more than"),
    ],
)
def test_invalid_configurations_are_refused(repository: Path, content: bytes, says: str) -> None:
    """An error that names the file, for whoever loads it and for `grader trust`."""
    (repository / "graders.toml").write_bytes(content)

    with pytest.raises(ConfigError, match=says):
        load_config()
    refused = grader("trust")
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr


def test_harmless_bounds_are_the_sandboxs_defaults() -> None:
    """A file may narrow each limit of the sandbox; its default is the widest that needs no trust."""
    from dataclasses import fields

    from graders_sandbox import Limits

    rules: dict[str, Any] = dict(harmless.HARMLESS["sandbox"]["limits"])
    defaults: dict[str, Any] = {field.name: field.default for field in fields(Limits)}
    assert rules.keys() <= defaults.keys()
    for name, rule in rules.items():
        assert rule(defaults[name]), name
        assert not rule(defaults[name] + 1), name

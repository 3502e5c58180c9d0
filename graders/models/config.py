"""graders.toml: where judges' names go, and the settings of the other parts.

    [models."o3-mini"]                  # a name as specs have it; "*" is every other name
    base_url = "http://127.0.0.1:8000/v1"
    model = "Qwen/Qwen3-8B"             # left out: the spec's own name
    api_key_env = "MY_KEY"              # left out: OPENAI_API_KEY; "" sends none

Without a file, OPENAI_BASE_URL and OPENAI_API_KEY say where every name goes.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from graders.suggest import did_you_mean

FILE_NAME = "graders.toml"
OPENAI_URL = "https://api.openai.com/v1"

#: Top-level tables of the file; the other parts read theirs through Config.table.
TABLES = ("models", "judge", "sandbox", "metrics", "embeddings", "templates", "prices")


class ConfigError(ValueError):
    """graders.toml cannot be used; the message names the file, the key and what to do."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where one model name goes, and how it is asked there.

    Attributes:
        base_url: Up to and including `/v1`; for Azure deployment URLs up to the deployment.
        model: The name sent; "" is the spec's own.
        api: "chat" (/chat/completions) or "responses" (/responses). Never chosen automatically.
        api_key_env: The environment variable that holds the key; "" sends none.
        azure: Send the key as `api-key` instead of a bearer token.
        headers, query: Added to every request.
        max_in_flight: Requests under way at once; also where adaptive concurrency starts.
        requests_per_minute, tokens_per_minute: Own limits beside the server's; 0 is none.
        attempt_timeout_s, timeout_s: For one attempt, and for a question with all its attempts.
        max_attempts: HTTP attempts for one question, the first included.
        structured: "auto" starts with json_schema and steps down where the server lacks it; or one rung by name.
        steps: Whether reasoning steps are asked for before the result, as the hosted service does.
        out_of_range: "clip" as the service does, or "error".
        votes: Questions asked for one verdict; their median or majority counts. Odd.
        logprobs: Score by the expected value over a 0..9 grid of token probabilities.
        harden: Put delimiters around the sample's text and neutralise chat control strings in it.
    """

    name: str
    base_url: str = OPENAI_URL
    model: str = ""
    api: str = "chat"
    api_key_env: str = "OPENAI_API_KEY"
    azure: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    max_in_flight: int = 32
    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    attempt_timeout_s: float = 120.0
    timeout_s: float = 600.0
    max_attempts: int = 6
    structured: str = "auto"
    steps: bool = True
    out_of_range: str = "clip"
    votes: int = 1
    logprobs: bool = False
    harden: bool = False

    @property
    def mapped(self) -> bool:
        """Whether the configuration says where this name goes, or only OpenAI's own address is left."""
        return self.base_url != OPENAI_URL

    def key(self) -> str:
        """The API key, "" when there is none."""
        return os.environ.get(self.api_key_env, "") if self.api_key_env else ""


CHOICES = {
    "api": ("chat", "responses"),
    "structured": ("auto", "json_schema", "json_object", "prompt"),
    "out_of_range": ("clip", "error"),
}
_ROUTE_FIELDS = {f.name: f for f in fields(Route) if f.name != "name"}
_NUMBERS = (int, float)


class Config:
    """The configuration, read once.

    Attributes:
        path: The file it came from; None without one.
    """

    def __init__(self, tables: Mapping[str, Any] | None = None, path: Path | None = None) -> None:
        """
        Raises:
            ConfigError: a table or key is unknown, or a value has the wrong type.
        """
        self.path = path
        self._tables = dict(tables or {})
        for name, table in self._tables.items():
            if name not in TABLES:
                raise self._wrong(
                    name, f"unknown table; the tables are {', '.join(TABLES)}. {did_you_mean(name, TABLES)}"
                )
            if not isinstance(table, Mapping):
                raise self._wrong(name, f"expected a table, found {table!r}")
        judge = dict(self.table("judge"))
        self._models = {
            name: self._route(name, {**judge, **self._table_of(name, table)})
            for name, table in self.table("models").items()
        }
        self._judge = judge
        if "*" not in self._models:
            self._models["*"] = self._route(
                "*", {"base_url": os.environ.get("OPENAI_BASE_URL") or OPENAI_URL, **judge}
            )

    def table(self, name: str) -> Mapping[str, Any]:
        """A top-level table as it stands in the file; {} when it is not there."""
        table: Mapping[str, Any] = self._tables.get(name, {})
        return table

    def route(self, model: str) -> Route:
        """Where this model name goes: its own table, else "*"."""
        return self._models.get(model) or self._models["*"]

    @property
    def routes(self) -> Mapping[str, Route]:
        """Every configured name, "*" included."""
        return self._models

    def _table_of(self, name: str, table: Any) -> Mapping[str, Any]:
        if not isinstance(table, Mapping):
            raise self._wrong(f'models."{name}"', f"expected a table, found {table!r}")
        return table

    def _route(self, name: str, table: Mapping[str, Any]) -> Route:
        for key, value in table.items():
            where = f'models."{name}".{key}'
            if key not in _ROUTE_FIELDS:
                known = ", ".join(_ROUTE_FIELDS)
                raise self._wrong(
                    where, f"unknown key; the keys are {known}. {did_you_mean(key, _ROUTE_FIELDS)}"
                )
            default = getattr(_DEFAULT, key)
            if isinstance(default, bool) or isinstance(value, bool):
                fits = isinstance(default, bool) and isinstance(value, bool)
            elif isinstance(default, _NUMBERS):
                fits = (
                    isinstance(value, _NUMBERS)
                    and value >= 0
                    and (isinstance(default, float) or isinstance(value, int))
                )
            elif isinstance(default, Mapping):
                fits = isinstance(value, Mapping) and all(isinstance(v, str) for v in value.values())
            else:
                fits = isinstance(value, str)
            if not fits:
                raise self._wrong(where, f"expected {_KIND[type(default)]}, found {value!r}")
            if key in CHOICES and value not in CHOICES[key]:
                raise self._wrong(where, f"expected one of {', '.join(CHOICES[key])}, found {value!r}")
        if not table.get("votes", 1) % 2:
            raise self._wrong(f'models."{name}".votes', f"expected an odd number, found {table['votes']}")
        if "://" not in table.get("base_url", OPENAI_URL):
            raise self._wrong(
                f'models."{name}".base_url', f"expected an http(s) URL, found {table['base_url']!r}"
            )
        return Route(name, **table)

    def _wrong(self, key: str, message: str) -> ConfigError:
        return ConfigError(f"{self.path or 'configuration'}: {key}: {message}".rstrip())


_DEFAULT = Route("")
_KIND = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    dict: "a table of texts",
}


def load_config(path: str | Path | None = None) -> Config:
    """graders.toml: the given path, else GRADERS_CONFIG, else the first one found upward from here, else none.

    Raises:
        ConfigError: the named file is not there, is not TOML, or holds something unknown.
    """
    named = path or os.environ.get("GRADERS_CONFIG")
    file = Path(named) if named else _find(Path.cwd())
    if file is None:
        return Config()
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: not TOML: {error}") from None
    return Config(tables, file)


def _find(folder: Path) -> Path | None:
    return next((file for at in (folder, *folder.parents) if (file := at / FILE_NAME).is_file()), None)

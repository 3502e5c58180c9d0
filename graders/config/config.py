"""The configuration in graders.toml: routes of model names, and the tables of the other parts.

    [endpoints.local]
    base_url = "http://127.0.0.1:8000/v1"
    api_key_env = "MY_KEY"              # the variable with the key, which is sent to this endpoint alone

    [models]
    "o3-mini" = "local"                 # a model name in specs -> an endpoint
    "gpt-4o" = { endpoint = "local", model = "Qwen/Qwen3-8B" }
    "ft:*" = "local"                    # every name that begins with ft:
    "*" = "local"                       # every other name

    [judge]                             # for all of these
    attempt_timeout_s = 60

A model's table may hold an endpoint's keys. They take precedence over its endpoint's, and those over [judge].
Without a file, OPENAI_BASE_URL and OPENAI_API_KEY give the route of every name.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from graders.config import files, trust
from graders.config.keys import ENDPOINT_GRADER_KEYS, JUDGE_KEYS, ROUTE_KEYS, TABLES, mistake_in
from graders.config.route import OPENAI_URL, Price, Route, route_of
from graders.jsontext import text_of_file
from graders.suggest import did_you_mean


class ConfigError(ValueError):
    """Raised when graders.toml cannot be used; the message names the file, the key and what to do."""


class Config:
    """The configuration, read once.

    Attributes:
        path: The file; None without one.
        tables: The file's tables, unchanged.
        prices: Model name in specs or on the server -> its price.
    """

    def __init__(self, tables: Mapping[str, Any] | None = None, path: Path | None = None) -> None:
        """
        Raises:
            ConfigError: a table or key is unknown, or a value has the wrong type.
        """
        self.path = path
        self.tables = dict(tables or {})
        for name, table in self.tables.items():
            if name not in TABLES:
                raise self.wrong(
                    name, f"unknown table; the tables are {', '.join(TABLES)}. {did_you_mean(name, TABLES)}"
                )
            self._mapping(name, table)
        judge = dict(self.table("judge"))
        for key in JUDGE_KEYS:
            if key in judge:
                self._check("judge", key, judge.pop(key), JUDGE_KEYS[key])
        self._judge = self._checked("judge", judge)
        for host, table in self.table("endpoint_graders").items():
            where = f'endpoint_graders."{host}"'
            self.checked(where, self._mapping(where, table), ENDPOINT_GRADER_KEYS)
        sampler = dict(self.table("sampler"))
        self._mapping("sampler.models", sampler.pop("models", {}))
        self._check("sampler", "recording", sampler.pop("recording", ""), "")
        self._checked("sampler", sampler)
        self._endpoints = {
            name: self._checked(f"endpoints.{name}", table) for name, table in self.table("endpoints").items()
        }
        self._routes = {
            name: self.route_to(f'models."{name}"', name, where)
            for name, where in self.table("models").items()
        }
        if "*" not in self._routes:
            from_env = os.environ.get("OPENAI_BASE_URL", "")
            base = {"base_url": from_env, "mapped": True} if from_env else {}
            self._routes["*"] = route_of(
                "*", {**base, "mapped": bool(from_env or "base_url" in judge), **self._judge}
            )
        self._patterns = sorted((name for name in self._routes if name.endswith("*")), key=len, reverse=True)
        self.prices = {name: self._price(name, table) for name, table in self.table("prices").items()}

    def table(self, name: str) -> Mapping[str, Any]:
        """A top-level table of the file, unchanged; {} when the file lacks it."""
        table: Mapping[str, Any] = self.tables.get(name, {})
        return table

    def path_of(self, name: str) -> Path:
        """A file or folder that the configuration names; relative names start from the folder of graders.toml."""
        folder = self.path.parent if self.path is not None else Path()
        return folder / Path(name).expanduser()

    def route(self, model: str) -> Route:
        """The route of a model name: its own entry, else the longest matching pattern's; "*" matches every name."""
        return self._routes.get(model) or next(
            self._routes[pattern] for pattern in self._patterns if model.startswith(pattern[:-1])
        )

    def limits_of(self, origin: str) -> tuple[int, int, int]:
        """Limits of one address: requests in flight, requests and tokens a minute; 0 is no limit."""
        routes = [route for route in self._routes.values() if route.origin == origin]
        return (
            min(route.max_in_flight for route in routes),
            min((r.requests_per_minute for r in routes if r.requests_per_minute), default=0),
            min((r.tokens_per_minute for r in routes if r.tokens_per_minute), default=0),
        )

    def checked(self, name: str, table: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
        """A part's table with the defaults filled in, and every key checked against the type of its default.

        Raises:
            ConfigError: a key is unknown or a value has another type.
        """
        for key, value in table.items():
            if key not in defaults:
                hint = did_you_mean(key, defaults)
                raise self.wrong(f"{name}.{key}", f"unknown key; the keys are {', '.join(defaults)}. {hint}")
            self._check(name, key, value, defaults[key])
        return {**defaults, **table}

    def with_settings(self, settings: Mapping[str, Any]) -> Config:
        """This configuration with other values in [judge]; those of endpoints and models still take precedence.

        Raises:
            ConfigError: a setting is unknown or has the wrong type.
        """
        return Config({**self.tables, "judge": {**self.table("judge"), **settings}}, self.path)

    def for_sampler(self) -> Config:
        """The sampler's configuration: [sampler] takes precedence over [judge], [sampler.models] over [models]."""
        sampler = dict(self.table("sampler"))
        models = {**self.table("models"), **sampler.pop("models", {})}
        sampler.pop("recording", None)
        judge = {**self.table("judge"), **sampler}
        return Config({**self.tables, "models": models, "judge": judge}, self.path)

    def with_routes(self, **changes: Any) -> Config:
        """This configuration with the same changes to every route (see Route)."""
        changed = Config(self.tables, self.path)
        changed._routes = {name: replace(route, **changes) for name, route in self._routes.items()}
        return changed

    def with_model(self, key: str, name: str, where: Any) -> Config:
        """This configuration with another route for one model name (see `route_to`)."""
        changed = Config(self.tables, self.path)
        changed._routes = {**self._routes, name: self.route_to(key, name, where)}
        return changed

    @property
    def routes(self) -> Mapping[str, Route]:
        """Every configured name with its route, "*" included."""
        return self._routes

    def route_to(self, key: str, name: str, where: Any) -> Route:
        """The route of one name.

        Args:
            key: The key in the file, for messages.
            where: An endpoint's name, or a table with a route's keys and perhaps `endpoint`.
        """
        if isinstance(where, str):
            where = {"endpoint": where}
        table = dict(self._mapping(key, where))
        endpoint = table.pop("endpoint", "")
        if endpoint and endpoint not in self._endpoints:
            known = ", ".join(self._endpoints) or "none"
            hint = did_you_mean(str(endpoint), self._endpoints)
            raise self.wrong(key, f"there is no [endpoints.{endpoint}]; there are: {known}. {hint}")
        merged = {**self._judge, **self._endpoints.get(endpoint, {}), **self._checked(key, table)}
        if "base_url" not in merged:
            merged["base_url"] = os.environ.get("OPENAI_BASE_URL") or OPENAI_URL
        return route_of(name, {"endpoint": endpoint, "mapped": True, **merged})

    def _price(self, name: str, table: Any) -> Price:
        where = f'prices."{name}"'
        table = self._mapping(where, table)
        for key, value in table.items():
            if key not in ("input", "output", "cached"):
                raise self.wrong(f"{where}.{key}", "unknown key; the keys are input, output, cached")
            self._check(where, key, value, 0.0)
        if not {"input", "output"} <= set(table):
            raise self.wrong(where, "expected at least input and output, each for a million tokens")
        return Price(**table)

    def _mapping(self, where: str, table: Any) -> Mapping[str, Any]:
        if not isinstance(table, Mapping):
            raise self.wrong(where, f"expected a table, found {table!r}")
        return table

    def _checked(self, where: str, table: Any) -> Mapping[str, Any]:
        """A table of a route's keys, each checked."""
        checked = self._mapping(where, table)
        for key, value in checked.items():
            if key not in ROUTE_KEYS:
                keys = [*ROUTE_KEYS, *(JUDGE_KEYS if where == "judge" else ())]
                hint = did_you_mean(key, keys)
                raise self.wrong(f"{where}.{key}", f"unknown key; the keys are {', '.join(keys)}. {hint}")
            self._check(where, key, value, ROUTE_KEYS[key])
        return checked

    def _check(self, where: str, key: str, value: Any, default: Any) -> None:
        if mistake := mistake_in(key, value, default):
            raise self.wrong(f"{where}.{key}", mistake)

    def wrong(self, key: str, message: str) -> ConfigError:
        """The error for a key of the file."""
        return ConfigError(f"{self.path or 'configuration'}: {key}: {message}".rstrip())


def load_config(path: str | Path | None = None) -> Config:
    """graders.toml: the given path, else GRADERS_CONFIG, else the first one found upward from here, else none.

    Raises:
        ConfigError: the named file does not exist, is not TOML, or has an unknown key; or a file that was found by the
            search sets a key that needs `grader trust`.
    """
    named = path or os.environ.get("GRADERS_CONFIG")
    try:
        file = files.read_file(Path(named)) if named else files.find_file(Path.cwd())
    except files.NotUsable as error:
        raise ConfigError(str(error)) from None
    if file is None:
        return Config()
    config = config_of(file)
    if not named and (refusal := trust.refusal(file, config.tables)):
        raise ConfigError(refusal)
    return config


def config_of(file: files.ConfigFile) -> Config:
    """The configuration in a file.

    Raises:
        ConfigError: it is not TOML, or has an unknown key.
    """
    try:
        tables = tomllib.loads(text_of_file(file.content))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file.path}: cannot be read: {error}") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{file.path}: not TOML: {error}") from None
    return Config(tables, file.path)

"""Public names of judges: the client for any OpenAI-compatible endpoint, and its substitutes.

config = load_config()          graders.toml and the environment
client = connect(config)        a ModelClient; nothing is opened before the first question
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graders.lazy import lazy_names

if TYPE_CHECKING:
    from graders.config.config import Config, ConfigError, load_config
    from graders.config.route import Price, Route
    from graders.endpoints.spending import SpendingEstimate, estimate
    from graders.judges.callables import from_callable, from_openai
    from graders.judges.client import Client, connect
    from graders.judges.contract import ModelClient
    from graders.judges.probing import Probe, probe
    from graders.judges.recorded import Recorded
    from graders.judges.scripted import ScriptedJudge

_HOMES = {
    "Client": "graders.judges.client",
    "Config": "graders.config.config",
    "ConfigError": "graders.config.config",
    "SpendingEstimate": "graders.endpoints.spending",
    "ModelClient": "graders.judges.contract",
    "Price": "graders.config.route",
    "Probe": "graders.judges.probing",
    "Recorded": "graders.judges.recorded",
    "Route": "graders.config.route",
    "ScriptedJudge": "graders.judges.scripted",
    "connect": "graders.judges.client",
    "estimate": "graders.endpoints.spending",
    "from_callable": "graders.judges.callables",
    "from_openai": "graders.judges.callables",
    "load_config": "graders.config.config",
    "probe": "graders.judges.probing",
}

__all__ = [
    "Client",
    "Config",
    "ConfigError",
    "ModelClient",
    "Price",
    "Probe",
    "Recorded",
    "Route",
    "ScriptedJudge",
    "SpendingEstimate",
    "connect",
    "estimate",
    "from_callable",
    "from_openai",
    "load_config",
    "probe",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)

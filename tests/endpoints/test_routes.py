"""Where a model's name goes."""

from __future__ import annotations

import pytest

from graders.config.config import Config

MODELS = {
    name: {"base_url": f"http://127.0.0.1/{at}"} for at, name in enumerate(("ft:*", "ft:a:*", "ft:a:b", "*"))
}


@pytest.mark.parametrize(
    ("name", "at"), [("ft:a:b", 2), ("ft:a:c", 1), ("ft:b", 0), ("ft:", 0), ("f", 3), ("ft:*", 0), ("", 3)]
)
def test_routes_of_names_and_patterns(name: str, at: int) -> None:
    assert Config({"models": MODELS}).route(name).base_url == f"http://127.0.0.1/{at}"

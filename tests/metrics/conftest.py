from __future__ import annotations

import pytest

from tests.metrics import corpus


@pytest.fixture(scope="session")
def wordnet_corpus(tmp_path_factory: pytest.TempPathFactory) -> None:
    """nltk finds the real WordNet 3.0."""
    if not corpus.installed():
        pytest.skip(corpus.MISSING)
    corpus.use_corpus(tmp_path_factory.mktemp("nltk_data"))

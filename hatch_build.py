"""What only a release knows: where the project lives. `PROJECT_URL=https://example.org/local-graders python -m build`

With it the package's page has links to source, documentation and changelog, and the README's own links lead there.
Without it the package has no links, and the README is as it stands.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_RELATIVE_LINK = re.compile(r"\]\((?![a-z]+:|#)([^)\s]+)\)")


def project_urls(home: str) -> dict[str, str]:
    """The links of the package's page, for a repository at this address."""
    return {
        "Homepage": home,
        "Documentation": f"{home}/blob/main/docs/README.md",
        "Source": home,
        "Changelog": f"{home}/blob/main/CHANGELOG.md",
        "Issues": f"{home}/issues",
    }


def with_absolute_links(markdown: str, home: str) -> str:
    """The same text whose relative links lead to the repository."""
    return _RELATIVE_LINK.sub(rf"]({home}/blob/main/\1)", markdown)


class ReleaseAddress(MetadataHookInterface):
    """Fills in `urls` and `readme`."""

    def update(self, metadata: dict[str, Any]) -> None:
        home = os.environ.get("PROJECT_URL", "").rstrip("/")
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        metadata["urls"] = project_urls(home) if home else {}
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": with_absolute_links(text, home) if home else text,
        }

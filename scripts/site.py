"""Build the documentation's site into build/site, and check it: links and anchors, and that pages load nothing from elsewhere.

Needs the extra `[docs]`; the network is not used.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

ROOT = Path(__file__).parents[1]
SITE = ROOT / "build" / "site"

#: What a page loads by itself: element -> the attribute with the address.
LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}
_REMOTE = re.compile(r"(?:https?:)?//")
_CSS_ADDRESS = re.compile(r"(?:url\(|@import)\s*[\"']?((?:https?:)?//[^\"')\s]+)")


class _Loads(HTMLParser):
    """The addresses that a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        address = dict(attrs).get(LOADED.get(tag, "")) or ""
        if _REMOTE.match(address):
            self.found.append(address)


def remote_loads(site: Path) -> Iterator[str]:
    """`FILE: ADDRESS` for each thing that a page or a style sheet loads from another machine."""
    for file in sorted(site.rglob("*.html")):
        page = _Loads()
        page.feed(file.read_text(encoding="utf-8"))
        yield from (f"{file.relative_to(site)}: {address}" for address in page.found)
    for file in sorted(site.rglob("*.css")):
        for address in _CSS_ADDRESS.findall(file.read_text(encoding="utf-8")):
            yield f"{file.relative_to(site)}: {address}"


def main() -> int:
    # strict: a link or an anchor that leads nowhere, and a page that the navigation lacks, end the build
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--clean", "--site-dir", str(SITE)]
    # else the theme advertises its successor on every build
    built = subprocess.run(command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, check=False)
    if built.returncode:
        return built.returncode
    found = list(remote_loads(SITE))
    print(
        "\n".join(found) or f"{SITE}: {len(list(SITE.rglob('*.html')))} pages, nothing loaded from elsewhere"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

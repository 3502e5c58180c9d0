"""Headless Chromium over its debugging pipe, with the standard library alone."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BINARY = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_KEYS = {"Enter": (13, "\r"), "Escape": (27, ""), "Tab": (9, ""), "End": (35, ""), "Backspace": (8, "")}
CTRL = 2


class PageReplaced(Exception):
    """Raised for a question to a page that gave way to another one meanwhile."""


class Page:
    """One tab."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands = commands
        self._answers = answers
        self._buffer = b""
        self._number = 0
        self._session = ""
        self.events: list[dict[str, Any]] = []

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == number:
                if "navigated" in answer.get("error", {}).get("message", ""):
                    raise PageReplaced(answer["error"]["message"])
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            more = os.read(self._answers, 1 << 20)
            assert more, "chromium has gone"
            self._buffer += more
        text, _, self._buffer = self._buffer.partition(b"\0")
        answer: dict[str, Any] = json.loads(text)
        return answer

    def open(self, url: str, *, width: int, height: int, dark: bool) -> None:
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.send("Emulation.setEmulatedMedia", features=scheme)
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.send("Page.navigate", url=url)
        self.wait("document.readyState === 'complete' && location.protocol === 'http:'")

    def look(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        result = self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def axe(self) -> list[str]:
        """What axe-core finds on the page; AXE_CORE names axe.min.js of the npm package axe-core."""
        self.look(Path(os.environ["AXE_CORE"]).read_text(encoding="utf-8") + "; 0")
        run = "axe.run().then(r => r.violations.map(v => v.id + ': ' + v.nodes[0].html))"
        found = self.send("Runtime.evaluate", expression=run, returnByValue=True, awaitPromise=True)
        violations: list[str] = found["result"]["value"]
        return violations

    def wait(self, expression: str, seconds: float = 30) -> Any:
        """Until a JavaScript expression is true."""
        until = time.monotonic() + seconds
        while True:
            with contextlib.suppress(PageReplaced):
                if value := self.look(f"Boolean({expression})"):
                    return value
            assert time.monotonic() < until, f"{expression}: {self.look('document.body.innerText')}"
            time.sleep(0.03)

    def key(self, name: str, modifiers: int = 0) -> None:
        code, text = _KEYS[name] if name in _KEYS else (ord(name.upper()), name)
        key = {"key": name, "code": name, "windowsVirtualKeyCode": code, "modifiers": modifiers}
        shown = {"text": text} if text and not modifiers else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", **key, **shown)
        self.send("Input.dispatchKeyEvent", type="keyUp", **key)

    def type(self, text: str) -> None:
        self.send("Input.insertText", text=text)

    def select_all(self) -> None:
        self.send(
            "Input.dispatchKeyEvent",
            type="keyDown",
            key="a",
            code="KeyA",
            windowsVirtualKeyCode=65,
            modifiers=CTRL,
            commands=["selectAll"],
        )

    def screenshot(self, path: Path) -> None:
        data = self.send("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))

    def complaints(self) -> list[str]:
        """What the browser has said in its console, and what it was told not to load."""
        self.look("1")
        return [
            json.dumps(event["params"])
            for event in self.events
            if event.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded", "Network.loadingFailed")
        ]

    def asked_for(self) -> list[str]:
        return [
            event["params"]["request"]["url"]
            for event in self.events
            if event.get("method") == "Network.requestWillBeSent"
        ]


@contextmanager
def chromium(url: str, *, width: int = 1240, height: int = 900, dark: bool = False) -> Iterator[Page]:
    """A tab at this address; the browser ends with the block."""
    assert BINARY
    in_read, in_write = os.pipe()
    out_read, out_write = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # The browser speaks on descriptors 3 and 4.
        command = (
            f'exec "$0" --headless=new --remote-debugging-pipe --no-sandbox --disable-gpu --no-first-run '
            f"--disable-dev-shm-usage --disable-background-networking --hide-scrollbars "
            f'--user-data-dir="{profile}" about:blank 3<&{in_read} 4>&{out_write}'
        )
        process = subprocess.Popen(
            ["bash", "-c", command, BINARY],
            pass_fds=[in_read, out_write],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": profile},
        )
        os.close(in_read)
        os.close(out_write)
        try:
            page = Page(in_write, out_read)
            page.open(url, width=width, height=height, dark=dark)
            yield page
        finally:
            os.close(in_write)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            process.kill()
            process.wait()
            os.close(out_read)

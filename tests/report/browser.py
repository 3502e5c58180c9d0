"""A headless Chromium, driven over its debugging pipe: pages opened, keys pressed, what went wrong collected."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# the longest time for one answer on a busy machine
WAIT_S = 60.0

_CODES = {"Enter": 13, "Escape": 27, "ArrowDown": 40, "ArrowUp": 38}


class Browser:
    """One page. `problems` are its errors, policy violations among them; `asked` the addresses it wanted to load."""

    def __init__(self, profile: Path) -> None:
        assert CHROMIUM
        self.problems: list[str] = []
        self.asked: list[str] = []
        self._rest, self._number = b"", 0
        commands, self._out = os.pipe()
        self._in, answers = os.pipe()
        flags = "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --remote-debugging-pipe --window-size=1200,900"
        chromium = [CHROMIUM, *flags.split(), f"--user-data-dir={profile}"]
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{commands} 4>&{answers}', "bash", *chromium],
            pass_fds=(commands, answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        target = self._send("Target.createTarget", {"url": "about:blank"})["targetId"]
        self._session = self._send("Target.attachToTarget", {"targetId": target, "flatten": True})[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *exc: object) -> None:
        # the browser ends with its pipe
        os.close(self._out)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._in)

    def open(self, path: Path, anchor: str = "") -> None:
        self.send("Page.navigate", url=path.as_uri() + anchor)
        end = time.monotonic() + WAIT_S
        while self.evaluate("document.readyState + location.protocol") != "completefile:":
            assert time.monotonic() < end, "the page does not load"
            time.sleep(0.05)

    def show_as(self, width: int, scheme: str = "light", height: int = 844) -> None:
        """Be a screen of this width, a phone below 500, for a reader who likes light or dark."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, path: Path) -> None:
        """The part of the page that is seen, as PNG."""
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"]))

    def axe(self) -> list[str]:
        """What axe-core finds on the page; AXE_CORE names axe.min.js of the npm package axe-core."""
        self.evaluate(Path(os.environ["AXE_CORE"]).read_text(encoding="utf-8") + "; 0")
        found: list[str] = self.evaluate(
            "axe.run().then(r => r.violations.map(v => v.id + ': ' + v.nodes[0].html))"
        )
        return found

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page."""
        found = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def press(self, *keys: str) -> None:
        for key in keys:
            more = {"windowsVirtualKeyCode": _CODES[key]} if key in _CODES else {"text": key}
            self.send("Input.dispatchKeyEvent", type="keyDown", key=key, **more)
            self.send("Input.dispatchKeyEvent", type="keyUp", key=key)

    def send(self, method: str, **parameters: Any) -> Any:
        return self._send(method, parameters, sessionId=self._session)

    def _send(self, method: str, parameters: dict[str, Any], **more: str) -> Any:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters, **more}
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self._note(answer)

    def _receive(self) -> Any:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._in], [], [], WAIT_S)
            assert ready, "the browser does not answer"
            more = os.read(self._in, 1 << 20)
            assert more, "the browser has gone"
            self._rest += more
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def _note(self, event: Any) -> None:
        parameters = event.get("params", {})
        if event["method"] == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
            self.problems.append(parameters["entry"]["text"])
        elif event["method"] == "Runtime.exceptionThrown":
            self.problems.append(str(parameters["exceptionDetails"]))
        elif event["method"] == "Network.requestWillBeSent":
            self.asked.append(parameters["request"]["url"])

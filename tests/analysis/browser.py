"""A headless Chromium for tests: what a page shows after its scripts ran, and what a person does in it.

Drives Debian's chromium through its chromedriver by the W3C WebDriver protocol, a dozen JSON requests to the
loopback; nothing is downloaded.
"""

import base64
import json
import shutil
import subprocess
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
MISSING = None if CHROMIUM and DRIVER else "no browser here (apt install chromium chromium-driver)"
# of the sandbox: the suite may run as root, where chromium's own cannot be used; pages are the project's own files
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
         "--disable-background-networking", "--disable-component-update", "--no-first-run")  # fmt: skip


class Browser:
    """`with Browser() as page: page.open(path)`; a dark scheme and a width in pixels are asked for here."""

    def __init__(self, width: int = 1280, height: int = 1000, is_dark: bool = False):
        self._profile = tempfile.TemporaryDirectory(prefix="chromium-")
        self._arguments = [*FLAGS, f"--window-size={width},{height}", f"--user-data-dir={self._profile.name}"]
        self._arguments += ["--force-dark-mode", "--blink-settings=preferredColorScheme=0"] if is_dark else []

    def __enter__(self) -> "Browser":
        self._driver = subprocess.Popen(
            [DRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        port = next(line.split()[-1].rstrip(".") for line in self._driver.stdout if "successfully on port" in line)
        self._root, self._session = f"http://127.0.0.1:{port}", ""
        options = {"binary": CHROMIUM, "args": self._arguments}
        logs = {"goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
        wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options, **logs}}}
        self._session = f"/session/{self._call('POST', '/session', wanted)['sessionId']}"
        return self

    def __exit__(self, *_: Any) -> None:
        try:
            self._call("DELETE", "")
        finally:
            self._driver.terminate()
            self._driver.wait(10)
            self._driver.stdout.close()
            self._profile.cleanup()

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._root}{self._session}{path}", data, method=method)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)["value"]

    def open(self, path: Path, fragment: str = "") -> None:
        """Open a file and wait for its scripts."""
        self._call("POST", "/url", {"url": "about:blank"})
        self._call("POST", "/url", {"url": f"file://{path.resolve()}{fragment and '#' + fragment}"})

    def run(self, script: str, *arguments: Any) -> Any:
        """What `script` (with `return`) gives."""
        return self._call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def type(self, keys: str) -> None:
        """Type into whatever has the focus."""
        element = self._call("GET", "/element/active")
        self._call("POST", f"/element/{next(iter(element.values()))}/value", {"text": keys})

    def picture(self, path: Path, is_whole: bool = False) -> None:
        """A screenshot, of the window or of the whole page."""
        if is_whole:
            height = self.run("return document.documentElement.scrollHeight")
            size = self._call("GET", "/window/rect")
            self._call("POST", "/window/rect", {"width": size["width"], "height": min(height + 100, 12_000)})
        path.write_bytes(base64.b64decode(self._call("GET", "/screenshot")))

    def messages(self) -> list[str]:
        """What the page complained of on its console."""
        return [entry["message"] for entry in self._call("POST", "/se/log", {"type": "browser"})]

    def requests(self) -> list[str]:
        """Addresses that were asked for."""
        entries = self._call("POST", "/se/log", {"type": "performance"})
        events = [json.loads(entry["message"])["message"] for entry in entries]
        return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]

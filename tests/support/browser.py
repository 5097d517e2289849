"""A headless Chromium, driven through two pipes: no driver, no port, and nothing to install beside the browser."""

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
"""What the browser is called on one machine or another."""


def find_browser() -> str | None:
    """Return the path of a Chromium, or None where there is none; `FRESHRANK_TEST_BROWSER` says it first."""
    given = os.environ.get("FRESHRANK_TEST_BROWSER")
    return given or next((path for name in NAMES if (path := shutil.which(name))), None)


def needed_browser() -> str:
    """Return the path of a Chromium. Where there is none the test is skipped; on a CI machine it fails."""
    path = find_browser()
    if path is None:
        missing = "there is no Chromium here. Install Debian's package chromium, or set FRESHRANK_TEST_BROWSER"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    return path


class Page:
    """One tab of a browser, spoken to by the DevTools protocol.

    Attributes:
        complaints: What scripts logged as errors or threw.
        requests: Every address that the page asked for.
    """

    def __init__(self, to_browser: BinaryIO, from_browser: BinaryIO) -> None:
        self._out, self._in = to_browser, from_browser
        self._buffer, self._number, self._session, self._context = b"", 0, "", ""
        self.renew()

    def renew(self) -> None:
        """Go on with a new tab that shares nothing with the one before: no storage, no size, nothing noted."""
        self._session = ""
        if self._context:
            self.call("Target.disposeBrowserContext", browserContextId=self._context)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=self._context)["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """Call a method of the protocol, and return its answer."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": arguments}
        if self._session:
            message["sessionId"] = self._session
        self._out.write(json.dumps(message).encode() + b"\0")
        self._out.flush()
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return dict(answer["result"])

    def open(self, path: Path, width: int, scheme: str) -> None:
        """Open a file in a window of a width in pixels and in the scheme `light` or `dark`, and let its scripts run."""
        self.complaints, self.requests = [], []
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Page.navigate", url=path.resolve().as_uri())
        self.evaluate(
            "new Promise(done => document.readyState === 'complete' ? done() : addEventListener('load', () => done()))"
        )

    def evaluate(self, script: str) -> Any:
        """Evaluate an expression in the page, wait for it if it is a promise, and return its value."""
        done = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in done:
            raise RuntimeError(done["exceptionDetails"]["exception"].get("description", "a script failed"))
        return done["result"].get("value")

    def screenshot(self, path: Path) -> None:
        """Write the whole page as a picture."""
        taken = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(taken["data"]))

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            read = os.read(self._in.fileno(), 1 << 20)
            if not read:
                raise RuntimeError("the browser is gone")
            self._buffer += read
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        told = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(str(told["exceptionDetails"].get("exception", {}).get("description")))
        elif message.get("method") == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning"):
            self.complaints.append(" ".join(str(said.get("value", said.get("description"))) for said in told["args"]))
        elif message.get("method") == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.complaints.append(told["entry"]["text"])
        elif message.get("method") == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        return message


STARTER = """
import fcntl, os, sys
read, write = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3])
os.dup2(read, 3)
os.dup2(write, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Puts the pipes where the browser looks for them: it reads at 3 and writes at 4."""


@contextmanager
def browse(browser: str) -> Iterator[Page]:
    """Start a browser, give its page, and end it."""
    (read_there, write_here), (read_here, write_there) = os.pipe(), os.pipe()
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        os.fdopen(write_here, "wb") as to_browser,
        os.fdopen(read_here, "rb") as from_browser,
    ):
        process = subprocess.Popen(
            [sys.executable, "-c", STARTER, str(read_there), str(write_there), browser, *_flags(profile)],
            pass_fds=(read_there, write_there),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_there)
        os.close(write_there)
        try:
            page = Page(to_browser, from_browser)
            yield page
            page.call("Browser.close")
            process.wait(timeout=20)
        finally:
            process.kill()
            process.wait()


def _flags(profile: str) -> list[str]:
    flags = ["--headless=new", "--remote-debugging-pipe", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    flags += [
        f"--user-data-dir={profile}",
        "--hide-scrollbars",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ]
    return [*flags, "--no-sandbox"] if os.geteuid() == 0 else flags

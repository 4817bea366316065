"""A real browser, driven over WebDriver (https://www.w3.org/TR/webdriver2), by HTTP alone."""

import json
import os
import re
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key that the standard gives to an element
_PASTE = "\ue009v"  # Control and v, as the standard writes keys


def is_here() -> bool:
    return bool(shutil.which("chromedriver") and shutil.which("chromium"))


class Browser:
    """A Chromium without a window, for a ``with`` block. It needs root.

    A browser is a dozen processes. They have a PID namespace of their own, and chromedriver is its
    PID 1: when that has ended, so have all.
    """

    def __init__(self, place: Path, home: str) -> None:
        self.place, self.home = place, home

    def __enter__(self) -> Self:
        self.driver = subprocess.Popen(
            ["unshare", "--pid", "--mount-proc", "--fork", "chromedriver", "--port=0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "HOME": str(self.place)},
        )
        assert self.driver.stdout is not None
        try:
            for line in self.driver.stdout:
                if found := re.search(r"started successfully on port (\d+)", line):
                    break
            else:
                raise RuntimeError("chromedriver did not start")
            self.address = f"http://127.0.0.1:{found[1]}/session"
            arguments = ["--headless=new", "--no-sandbox", f"--user-data-dir={self.place}/profile"]
            arguments.append("--window-size=1280,900")
            wanted = {"goog:chromeOptions": {"binary": "/usr/bin/chromium", "args": arguments}}
            answer = self._ask("", {"capabilities": {"alwaysMatch": wanted}})
            self.address += "/" + answer["sessionId"]
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: object, where: TracebackType | None
    ) -> None:
        try:
            self._ask("", method="DELETE")
        finally:
            self._end()

    def _end(self) -> None:
        unshare = self.driver.pid
        for first in Path(f"/proc/{unshare}/task/{unshare}/children").read_text().split():
            os.kill(int(first), signal.SIGKILL)
        self.driver.wait()
        assert self.driver.stdout is not None
        self.driver.stdout.close()

    def _ask(self, path: str, body: object = None, method: str = "POST") -> Any:
        data = None if method == "DELETE" else json.dumps(body or {}).encode()
        request = urllib.request.Request(self.address + path, data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as refused:
            raise RuntimeError(f"{method} {path} {body}: {refused.read().decode()}") from None

    def open(self, address: str) -> None:
        self._ask("/url", {"url": address})

    def run(self, script: str, *arguments: object) -> Any:
        """What a function with this body returns in the page."""
        return self._ask("/execute/sync", {"script": script, "args": list(arguments)})

    def click(self, selector: str) -> None:
        middle = "document.querySelector(arguments[0]).scrollIntoView({block: 'center'})"
        self.run(middle, selector)
        self._ask(f"/element/{self._find(selector)}/click")

    def paste(self, selector: str) -> str:
        """Paste what is in the clipboard into a field; what it then says."""
        self._ask(f"/element/{self._find(selector)}/value", {"text": _PASTE})
        said: str = self.run("return document.querySelector(arguments[0]).value", selector)
        return said

    def _find(self, selector: str) -> str:
        query = {"using": "css selector", "value": selector}
        found: str = self._ask("/element", query)[_ELEMENT]
        return found

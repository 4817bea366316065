"""``--explain``: tell each request as it happens, for a person.

Three lines an event: its number, whose side, the request and the kernel's answer; why it is made;
what to type to make the same by hand.
"""

import os
import re
from typing import TextIO

from mydocker.kernel import shell, words
from mydocker.kernel.trace import Event

_COLOURS = {"host": "\033[36m", "container": "\033[33m", "error": "\033[31m", "dim": "\033[2m"}
_PLAIN = "\033[0m"
_INDENT = " " * 14
_LONG_ID = re.compile(r"\b[0-9a-f]{64}\b")


class Narrator:
    """A listener that writes to ``stream``."""

    def __init__(self, stream: TextIO, *, coloured: bool = False) -> None:
        self._stream = stream
        self._colour = coloured
        self._names: dict[str, str] = {}

    def __call__(self, event: Event) -> None:
        self._stream.write(self._shortened(self._told(event)))
        self._stream.flush()

    def _shortened(self, text: str) -> str:
        """``text`` with each 64-digit id as a shell variable, which the first line that needs it
        sets: the lines stay exact, can be typed, and can be read at 80 columns."""
        definitions = ""
        for identifier in _LONG_ID.findall(text):
            if identifier not in self._names:
                self._names[identifier] = f"ID{len(self._names) or ''}"
                definitions += f"{_INDENT}$ {self._names[identifier]}={identifier}\n"
        for identifier, name in self._names.items():
            text = text.replace(identifier, f"${name}")
        return definitions + text

    def _told(self, event: Event) -> str:
        side = self._paint(event.side, f"{event.side:9}")
        request = words.call(event.call, event.arguments)
        text = f"{event.number:3} {side} {request}{self._answer(event)}\n"
        if event.why:
            text += self._paint("dim", f"{_INDENT}why: {event.why}") + "\n"
        for number, line in enumerate(shell.line(event).splitlines()):
            prompt = "" if line.startswith("#") else "> " if number else "$ "
            text += f"{_INDENT}{prompt}{line}\n"
        return text

    def _answer(self, event: Event) -> str:
        if event.error:
            return self._paint("error", f" = {os.strerror(event.error)} ({event.error})")
        shown = event.call in ("clone3", "setsid", "fsopen", "fsmount", "open_tree")
        return f" = {event.result}" if shown and event.result is not None else ""

    def _paint(self, colour: str, text: str) -> str:
        return f"{_COLOURS[colour]}{text}{_PLAIN}" if self._colour else text

"""What happened to containers: ``<root>/events.json``, one line of JSON for each event.

Lines are only ever appended, each in one write(2), so that readers need no lock. A full file is
renamed to ``events.json.1``, and a new one begun.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

from mydocker.engine.config import Config
from mydocker.engine.filters import Filters, any_of, has_labels
from mydocker.engine.store import Store
from mydocker.engine.times import text

_FULL = 4 << 20  # bytes
_END = 253402300800 * 10**9  # the year 10000, which no date can say


def path(store: Store) -> str:
    """Where the events are."""
    return f"{store.root}/events.json"


def tell(store: Store, config: Config, action: str, **attributes: str) -> None:
    """Write down that ``action`` happened to a container."""
    named = {"image": config.image, "name": config.name, **config.labels, **attributes}
    now = time.time_ns()
    event = {
        "status": action,
        "id": config.id,
        "from": config.image,
        "Type": "container",
        "Action": action,
        "Actor": {"ID": config.id, "Attributes": dict(sorted(named.items()))},
        "scope": "local",
        "time": now // 10**9,
        "timeNano": now,
    }
    line = json.dumps(event, separators=(",", ":")).encode() + b"\n"
    file = path(store)
    try:
        fd = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(fd).st_size > _FULL:
                os.rename(file, f"{file}.1")
            os.write(fd, line)
        finally:
            os.close(fd)
    except OSError:
        return  # a full disk shall not stop a container from ending


def read(
    store: Store, since: int, until: int, stop: Callable[[], bool] = lambda: False
) -> Iterator[dict[str, Any]]:
    """The events between two moments (nanoseconds), the old ones and those to come until then."""
    file = path(store)
    for name in (f"{file}.1", file):
        if os.path.exists(name) and os.stat(name).st_mtime_ns >= since:
            yield from _between(_lines(name), since, until)
    if until > time.time_ns():
        yield from _between(_coming(file, until, stop), since, until)


def _lines(name: str) -> Iterator[bytes]:
    with open(name, "rb") as file:
        yield from file


def _coming(file: str, until: int, stop: Callable[[], bool]) -> Iterator[bytes]:
    """Lines that are appended from now on."""
    position = os.path.getsize(file) if os.path.exists(file) else 0
    inode = os.stat(file).st_ino if os.path.exists(file) else 0
    rest = b""
    while time.time_ns() < until and not stop():
        if os.path.exists(file):
            if inode and os.stat(file).st_ino != inode:  # a new file was begun
                yield from _lines_from(f"{file}.1", position)
                position = 0
            inode = os.stat(file).st_ino
            with open(file, "rb") as opened:
                opened.seek(position)
                data = rest + opened.read()
                position = opened.tell()
            *whole, rest = data.split(b"\n")
            yield from whole
        time.sleep(0.05)


def _lines_from(name: str, position: int) -> Iterator[bytes]:
    with open(name, "rb") as file:
        file.seek(position)
        yield from file


def _between(lines: Iterator[bytes], since: int, until: int) -> Iterator[dict[str, Any]]:
    for line in lines:
        event = _parsed(line)
        if event and since <= event["timeNano"] <= until:
            yield event


_TEXTS = ("status", "id", "from", "Type", "Action")


def _parsed(line: bytes) -> dict[str, Any] | None:
    """One event; None for the last line before a power cut, or one that somebody else wrote."""
    try:
        event: dict[str, Any] = json.loads(line)
        attributes = event["Actor"]["Attributes"]
        texts = [*(event[name] for name in _TEXTS), attributes["name"], *attributes.values()]
        when = event["timeNano"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    whole = all(isinstance(text, str) for text in texts) and isinstance(when, int)
    return event if whole and 0 <= when < _END else None


def passes(event: dict[str, Any], filters: Filters) -> bool:
    """True if it is one that the filters want."""
    attributes = event["Actor"]["Attributes"]
    get = filters.get
    return (
        any_of(get("container"), lambda text: _is(event["id"], attributes["name"], text))
        and any_of(get("event"), lambda text: event["Action"].partition(":")[0] == text)
        and any_of(get("image"), lambda text: event["from"] in (text, f"{text}:latest"))
        and any_of(get("type"), lambda text: event["Type"] == text)
        and has_labels(get("label", ()), attributes)
    )


def _is(identifier: str, name: str, text: str) -> bool:
    return text == name or identifier.startswith(text)


def line(event: dict[str, Any]) -> str:
    """As Docker prints it: time, kind, what happened, id, and attributes in brackets."""
    attributes = ", ".join(f"{k}={v}" for k, v in event["Actor"]["Attributes"].items())
    when = text(event["timeNano"]).replace("Z", "+00:00")
    return f"{when} {event['Type']} {event['Action']} {event['id']} ({attributes})"

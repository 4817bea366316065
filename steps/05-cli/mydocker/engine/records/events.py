"""What happened to containers: ``<root>/events.json``, one line of JSON for each event.

Lines are only ever appended, each in one write(2), so that readers need no lock. A full file is
renamed to ``events.json.1``, and a new one begun: once, by whoever holds the file's lock.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any, BinaryIO

from mydocker.engine.records.config import Config
from mydocker.engine.records.store import Store
from mydocker.engine.words.filters import Filters, any_of, has_labels
from mydocker.engine.words.times import text
from mydocker.kernel import whole
from mydocker.kernel.whole import Damaged

_FULL = 4 << 20  # bytes
_TRIES = 500  # to get the lock, 2 ms apart
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
    with suppress(OSError):  # a full disk shall not stop a container from ending
        _append(path(store), line)


def _append(file: str, line: bytes) -> None:
    while True:
        fd = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            locked = _lock(fd)
            if os.fstat(fd).st_ino != _inode(file):
                continue  # it was full, and another has begun a new one: our line belongs there
            size = os.fstat(fd).st_size
            if size > _FULL and locked:
                os.rename(file, f"{file}.1")
                continue
            if os.write(fd, line) < len(line) and locked:
                os.ftruncate(fd, size)  # the disk is full: half a line would spoil the next
            return
        finally:
            os.close(fd)


def _lock(fd: int) -> bool:
    """One writer at a time; but who was stopped while it wrote does not keep all others waiting."""
    from fcntl import LOCK_EX, LOCK_NB, flock

    for _ in range(_TRIES):
        try:
            flock(fd, LOCK_EX | LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.002)
    return False


def _inode(file: str) -> int:
    try:
        return os.stat(file).st_ino
    except FileNotFoundError:
        return 0


def read(
    store: Store, since: int, until: int, stop: Callable[[], bool] = lambda: False
) -> Iterator[dict[str, Any]]:
    """The events between two moments (nanoseconds), the old ones and those to come until then."""
    file = path(store)
    for name in (f"{file}.1", file):
        if _written(name) >= since:
            yield from _between(_lines(name), since, until)
    if until > time.time_ns():
        yield from _between(_coming(file, until, stop), since, until)


def _written(name: str) -> int:
    """When the file was last written to; -1 if it is not there. A closed door is an error."""
    try:
        return os.stat(name).st_mtime_ns
    except FileNotFoundError:
        return -1


def _lines(name: str) -> Iterator[bytes]:
    with open(name, "rb") as file:
        yield from file


def _coming(file: str, until: int, stop: Callable[[], bool]) -> Iterator[bytes]:
    """Lines that are appended from now on."""
    with ExitStack() as stack:
        opened = _opened(file, stack)
        if opened is not None:
            opened.seek(0, os.SEEK_END)
        rest = b""
        while time.time_ns() < until and not stop():
            # First the question and then the end of the old file: nobody writes to it any more.
            follows = opened is None or os.fstat(opened.fileno()).st_ino != _inode(file)
            if opened is not None:
                *whole_lines, rest = (rest + opened.read()).split(b"\n")
                yield from whole_lines
            if follows and (fresh := _opened(file, stack)) is not None:
                opened = fresh
                continue
            time.sleep(0.05)


def _opened(file: str, stack: ExitStack) -> BinaryIO | None:
    try:
        return stack.enter_context(open(file, "rb"))
    except FileNotFoundError:
        return None


def _between(lines: Iterator[bytes], since: int, until: int) -> Iterator[dict[str, Any]]:
    for line in lines:
        event = _parsed(line)
        if event and since <= event["timeNano"] <= until:
            yield event


_TEXTS = ("status", "id", "from", "Type", "Action")


def _parsed(line: bytes) -> dict[str, Any] | None:
    """One event; None for the last line before a power cut, or one that somebody else wrote."""
    try:
        event = whole.parse(line, "events")
        attributes = event["Actor"]["Attributes"]
        texts = [*(event[name] for name in _TEXTS), attributes["name"], *attributes.values()]
        when = event["timeNano"]
    except (Damaged, KeyError, TypeError, AttributeError):
        return None
    good = all(isinstance(text, str) for text in texts) and isinstance(when, int)
    return event if good and attributes["name"] and 0 <= when < _END else None


def passes(event: dict[str, Any], filters: Filters) -> bool:
    """True if it is one that the filters want."""
    attributes = event["Actor"]["Attributes"]
    get = filters.get
    return (
        any_of(get("container"), lambda text: _is(event["id"], attributes["name"], text))
        and any_of(get("event"), lambda text: text in _actions(event))
        and any_of(get("image"), lambda text: event["from"] in (text, f"{text}:latest"))
        and any_of(get("type"), lambda text: event["Type"] == text)
        and has_labels(get("label", ()), attributes)
    )


def _actions(event: dict[str, Any]) -> tuple[str, str]:
    """``health_status: healthy`` is also found as ``health_status``."""
    action: str = event["Action"]
    return action, action.partition(":")[0]


def _is(identifier: str, name: str, text: str) -> bool:
    return text == name or identifier.startswith(text)


def line(event: dict[str, Any]) -> str:
    """As Docker prints it: time, kind, what happened, id, and attributes in brackets."""
    attributes = ", ".join(f"{k}={v}" for k, v in event["Actor"]["Attributes"].items())
    when = text(event["timeNano"]).replace("Z", "+00:00")
    return f"{when} {event['Type']} {event['Action']} {event['id']} ({attributes})"

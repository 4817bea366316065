"""What happened: ``<root>/events.json``, one line of JSON for each event, in Docker's form.

To containers, images, networks and volumes; each is told once, by whoever changed the thing, in the
moment in which it is so. Lines are only ever appended, each in one write(2), so that readers need
no lock. A full file is renamed to ``events.json.1``, and a new one begun: once, by whoever holds
the file's lock.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO

from mydocker.engine.records.config import Config
from mydocker.engine.words.filters import Filters, any_of, has_labels
from mydocker.engine.words.times import text
from mydocker.kernel import whole
from mydocker.kernel.whole import Damaged

if TYPE_CHECKING:  # a store keeps events, and so it comes first
    from mydocker.engine.records.store import Store

_FILE = "events.json"
_FULL = 4 << 20  # bytes
_TRIES = 500  # to get the lock, 2 ms apart
_PIECE = 1 << 20  # bytes read at once
_LOOK = 0.05  # seconds between two looks for more
_COARSE = 10**9  # nanoseconds by which the time of a file may be behind the clock, and more
_END = 253402300800 * 10**9  # the year 10000, which no date can say


def path(store: "Store") -> str:
    """Where the events are."""
    return f"{store.root}/{_FILE}"


def tell(store: "Store", config: Config, action: str, **attributes: str) -> None:
    """Write down that ``action`` happened to a container."""
    named = {"image": config.image, "name": config.name, **config.labels, **attributes}
    tell_of(store.root, "container", action, config.id, named)


def tell_start(store: "Store", config: Config) -> None:
    """The container runs, and has its volumes."""
    for point in config.points:
        about = {
            "container": config.id,
            "destination": point.destination,
            "driver": "local",
            "propagation": "",
            "read/write": str(point.writable).lower(),
        }
        tell_of(store.root, "volume", "mount", point.name, about)
    tell(store, config, "start")


def tell_end(store: "Store", config: Config, code: int, oom_killed: bool = False) -> None:
    """It ended, and left its volumes: once for each :func:`tell_start`."""
    if oom_killed:
        tell(store, config, "oom")
    tell(store, config, "die", exitCode=str(code))
    for point in config.points:
        about = {"container": config.id, "driver": "local"}
        tell_of(store.root, "volume", "unmount", point.name, about)


def tell_prune(store: "Store", kind: str, space: int) -> None:
    """What nobody used of a kind was removed: ``space`` bytes are free again."""
    tell_of(store.root, kind, "prune", "", {"reclaimed": str(space)})


def tell_of(
    root: str, kind: str, action: str, identifier: str, attributes: Mapping[str, str]
) -> None:
    """Write down that ``action`` happened to a container, an image, a network or a volume."""
    now = time.time_ns()
    event: dict[str, Any] = {}
    if kind in ("container", "image"):  # as all events were written once; Docker still has it
        event |= {"status": action, "id": identifier}
    if kind == "container" and "image" in attributes:
        event["from"] = attributes["image"]
    event |= {
        "Type": kind,
        "Action": action,
        "Actor": {"ID": identifier, "Attributes": dict(sorted(attributes.items()))},
        "scope": "local",
        "time": now // 10**9,
        "timeNano": now,
    }
    line = json.dumps(event, separators=(",", ":")).encode() + b"\n"
    with suppress(OSError):  # a full disk shall not stop a container from ending
        _append(f"{root}/{_FILE}", line)


def _append(file: str, line: bytes) -> None:
    while True:
        fd = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            locked = _lock(fd)
            if os.fstat(fd).st_ino != _inode(file):
                continue  # it was full, and another has begun a new one: our line belongs there
            if os.fstat(fd).st_size > _FULL and locked:
                os.rename(file, f"{file}.1")
                continue
            written = os.write(fd, line)
            if written < len(line) and locked:
                _take_back(fd, written)  # the disk is full: half a line would spoil the next
            return
        finally:
            os.close(fd)


def _take_back(fd: int, written: int) -> None:
    """Cut off what was written last, if nobody has appended to it.

    Where it lies is asked now: others may have given the lock up and written since we looked.
    """
    end = os.lseek(fd, 0, os.SEEK_CUR)  # with O_APPEND, write(2) leaves it behind its own bytes
    if os.fstat(fd).st_size == end:
        os.ftruncate(fd, end - written)


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
    store: "Store", since: int, until: int, stop: Callable[[], bool] = lambda: False
) -> Iterator[dict[str, Any]]:
    """The events between two moments (nanoseconds), the old ones and those to come until then."""
    yield from _between(_lines(path(store), since, until, stop), since, until)


def _lines(file: str, since: int, until: int, stop: Callable[[], bool]) -> Iterator[bytes]:
    """All lines from the oldest file on, and those that are appended from now on, each once."""
    opened: BinaryIO | None = None
    rest = b""
    try:
        while True:
            last = time.time_ns() >= until or stop()
            # First the question and then the end of the old file: nobody writes to it any more.
            follows = opened is None or os.fstat(opened.fileno()).st_ino != _inode(file)
            while opened is not None and (piece := opened.read(_PIECE)):
                *whole_lines, rest = (rest + piece).split(b"\n")
                yield from whole_lines
            if follows and (fresh := _after(opened, file, since)) is not None:
                if opened is not None:
                    opened.close()
                if rest:
                    yield rest
                opened, rest = fresh, b""
            elif last:
                break
            else:
                time.sleep(_LOOK)
        if rest:
            yield rest
    finally:
        if opened is not None:
            opened.close()


def _after(opened: BinaryIO | None, file: str, since: int) -> BinaryIO | None:
    """The file that was begun after ``opened``, or the oldest that is there; None: not yet.

    Two may have been begun since we looked: then it is the renamed one first.
    """
    while True:
        old = f"{file}.1"
        before = _inode(old)
        if before and (opened is None or before != os.fstat(opened.fileno()).st_ino):
            name = old
        else:
            name = file
        found = _opened(name, since)
        if _inode(old) == before:
            return found
        if found is not None:  # it was renamed meanwhile: which one we have, nobody knows
            found.close()


def _opened(name: str, since: int) -> BinaryIO | None:
    """A file of events; at its end if it has none from ``since`` on. A closed door is an error."""
    try:
        opened = open(name, "rb")  # noqa: SIM115 - it stays open for whoever reads
    except FileNotFoundError:
        return None
    status = os.fstat(opened.fileno())
    if status.st_mtime_ns < since - _COARSE:
        opened.seek(status.st_size)
    return opened


def _between(lines: Iterator[bytes], since: int, until: int) -> Iterator[dict[str, Any]]:
    for line in lines:
        event = _parsed(line)
        if event and since <= event["timeNano"] <= until:
            yield event


def _parsed(line: bytes) -> dict[str, Any] | None:
    """One event; None for the last line before a power cut, or one that somebody else wrote."""
    try:
        event = whole.parse(line, "events")
        texts = [event["Type"], event["Action"], event["Actor"]["ID"]]
        texts += [event.get(name, "") for name in ("status", "id", "from", "scope")]
        texts += event["Actor"]["Attributes"].values()
        when = event["timeNano"]
    except (Damaged, KeyError, TypeError, AttributeError):
        return None
    good = all(isinstance(text, str) for text in texts) and isinstance(when, int)
    return event if good and 0 <= when < _END else None


FILTERS = ("container", "event", "image", "label", "network", "scope", "type", "volume")


def passes(event: dict[str, Any], filters: Filters) -> bool:
    """True if it is one that the filters want."""
    actor, kind = event["Actor"], event["Type"]
    get, attributes = filters.get, actor["Attributes"]
    return (
        all(
            any_of(get(one), lambda text, one=one: kind == one and _is(actor, text))  # type: ignore[misc]
            for one in ("container", "network", "volume")
        )
        and any_of(get("event"), lambda text: text in _actions(event))
        and any_of(get("image"), lambda text: _is_image(kind, actor, text))
        and any_of(get("type"), lambda text: kind == text)
        and any_of(get("scope"), lambda text: event.get("scope", "local") == text)
        and has_labels(get("label", ()), attributes)
    )


def _actions(event: dict[str, Any]) -> tuple[str, str]:
    """``health_status: healthy`` is also found as ``health_status``."""
    action: str = event["Action"]
    return action, action.partition(":")[0]


def _is(actor: dict[str, Any], text: str) -> bool:
    identifier: str = actor["ID"]
    return text == actor["Attributes"].get("name") or identifier.startswith(text)


def _is_image(kind: str, actor: dict[str, Any], text: str) -> bool:
    """True for an event of the image, and of a container that was made of it."""
    if kind not in ("container", "image"):
        return False
    name: str = actor["Attributes"].get("name" if kind == "image" else "image", "")
    found = {name, name.removesuffix(":latest"), name.rpartition(":")[0]}
    if kind == "image":
        found |= {actor["ID"], actor["ID"].partition(":")[2]}
    return text in found - {""}


# Docker's templates name the fields of a struct in Go, events.Message; these have another name in
# JSON. What is not there is empty.
_IN_GO = {
    "Status": ("status", ""),
    "ID": ("id", ""),
    "From": ("from", ""),
    "Scope": ("scope", ""),
    "Time": ("time", 0),
    "TimeNano": ("timeNano", 0),
}


class Message(dict[str, Any]):
    """An event as a template sees it: by its names in JSON, and by those in Go."""

    def __contains__(self, key: object) -> bool:
        return key in _IN_GO or super().__contains__(key)

    def __missing__(self, key: str) -> Any:
        name, empty = _IN_GO[key]
        return self.get(name, empty)


def line(event: dict[str, Any]) -> str:
    """As Docker prints it: time, kind, what happened, id, and attributes in brackets."""
    actor = event["Actor"]
    attributes = ", ".join(f"{k}={v}" for k, v in actor["Attributes"].items())
    when = text(event["timeNano"]).replace("Z", "+00:00")
    return f"{when} {event['Type']} {event['Action']} {actor['ID']} ({attributes})"

"""``stats``: what containers use, measured between two moments."""

import os
import time
from collections.abc import Iterator, Sequence

from mydocker.cgroups import statistics
from mydocker.engine.errors import NoSuchContainer
from mydocker.engine.groups import group_part
from mydocker.engine.records.config import Config
from mydocker.engine.records.store import Store
from mydocker.engine.truth import look
from mydocker.kernel import signals
from mydocker.kernel.errors import Failure
from mydocker.kernel.records import record


@record
class Usage:
    """Of one container. Sizes in bytes; ``cpu`` in per cent, of one processor 100.

    All numbers are 0 for a container that does not run.
    """

    config: Config
    cpu: float = 0.0
    memory: int = 0
    memory_limit: int = 0
    received: int = 0
    sent: int = 0
    read: int = 0
    written: int = 0
    pids: int = 0
    running: bool = False

    @property
    def memory_percent(self) -> float:
        return 100 * self.memory / self.memory_limit if self.memory_limit else 0.0


@record
class _Sample:
    numbers: statistics.Statistics
    network: tuple[int, int]
    moment: float


def measure(store: Store, identifiers: Sequence[str], seconds: float) -> list[Usage]:
    """What each of the containers uses; ``seconds`` lie between the two looks."""
    first = {one: _sample(store, one) for one in identifiers}
    signals.pause(seconds)
    found = []
    for one in identifiers:
        try:
            found.append(_usage(store.config(one), first[one], _sample(store, one)))
        except NoSuchContainer:
            continue  # removed meanwhile
    return found


def series(store: Store, identifiers: Sequence[str] | None) -> Iterator[list[Usage]]:
    """One measurement a second, without end; None: of those that run at that moment."""
    while True:
        chosen = running(store) if identifiers is None else identifiers
        yield measure(store, chosen, 1.0)


def running(store: Store) -> list[str]:
    """The ids of the containers that run, the youngest first."""
    found = []
    for one in store.ids():
        try:
            if look(store, one).up:
                found.append((store.config(one).created, one))
        except Failure:
            continue
    return [one for _, one in sorted(found, reverse=True)]


def _sample(store: Store, identifier: str) -> _Sample | None:
    try:
        state = look(store, identifier)
        part = group_part(store, identifier) if state.up else None
        if part is None:
            return None
        numbers = statistics.of(part.group())
    except Failure:
        return None
    return _Sample(numbers, _network(state.process.pid), time.monotonic())


def _network(pid: int) -> tuple[int, int]:
    """Bytes received and sent by all interfaces but lo, in the network namespace of ``pid``.

    A line is ``  eth0: 1296 16 0 0 0 0 0 0 0 0 …``: 8 numbers of receiving, 8 of sending.
    """
    received = sent = 0
    try:
        with open(f"/proc/{pid}/net/dev") as file:
            lines = file.read().splitlines()[2:]
    except OSError:
        return 0, 0
    for line in lines:
        name, _, numbers = line.partition(":")
        if name.strip() != "lo":
            words = numbers.split()
            received, sent = received + int(words[0]), sent + int(words[8])
    return received, sent


def _usage(config: Config, first: _Sample | None, second: _Sample | None) -> Usage:
    if first is None or second is None:
        return Usage(config)
    now = second.numbers
    used = (now.cpu or 0) - (first.numbers.cpu or 0)
    elapsed = (second.moment - first.moment) * 1e9
    return Usage(
        config,
        cpu=max(0.0, 100 * used / elapsed) if elapsed else 0.0,
        memory=max(0, (now.memory or 0) - (now.memory_cache or 0)),
        memory_limit=now.memory_limit or _machine(),
        received=second.network[0],
        sent=second.network[1],
        read=now.read_bytes or 0,
        written=now.written_bytes or 0,
        pids=now.pids or 0,
        running=True,
    )


def _machine() -> int:
    """All memory of the machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

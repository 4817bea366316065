"""Find and release what a killed run left behind: the work of ``mydocker system prune``."""

import signal
import time

from mydocker.container import state
from mydocker.container.parts import Part, rebuilt
from mydocker.container.running import release_all
from mydocker.kernel.errors import Failure
from mydocker.kernel.whole import Damaged

_PATIENCE = 10.0  # seconds that a killed process may take to die


def dead(run: str) -> list[str]:
    """The ids of the containers below ``run`` that nobody looks after: their owner is dead.

    Not those whose record cannot be read, for nobody knows: see :func:`unknown`.
    """
    return [identifier for identifier in state.identifiers(run) if _dead(run, identifier)]


def _dead(run: str, identifier: str) -> bool:
    try:
        record = state.read(run, identifier)
    except Damaged:
        return False
    return record is None or not record.owner.alive()


def unknown(run: str) -> list[str]:
    """The ids of the containers below ``run`` whose record is damaged."""
    found = []
    for identifier in state.identifiers(run):
        try:
            state.read(run, identifier)
        except Damaged:
            found.append(identifier)
    return found


def prune(run: str) -> tuple[list[str], list[Failure]]:
    """Release every container of :func:`dead`: ``(their ids, what went wrong)``.

    A container that is still in use is left alone. Needs the privileges that its parts needed.
    """
    gone, failures = [], []
    for identifier in dead(run):
        found = release(run, identifier)
        failures += found
        if not found:
            gone.append(identifier)
    return gone, failures


def release(run: str, identifier: str) -> list[Failure]:
    """Release one container of :func:`dead` and forget it, if nothing went wrong; the failures."""
    record = state.read(run, identifier)
    if record is not None:
        end(record)
        return release_parts(run, identifier, rebuilt(record.parts))
    state.remove(run, identifier)
    return []


def end(record: state.State, why: str = "its owner is dead: nobody looks after it") -> None:
    """Kill the first process of a dead owner's container, and with it all others.

    The kernel kills it as well, with its owner; but its mounts are held until it is gone.
    """
    if not record.process.signal(signal.SIGKILL, why=why):
        return
    until = time.monotonic() + _PATIENCE
    while record.process.alive() and time.monotonic() < until:
        time.sleep(0.002)


def release_parts(run: str, identifier: str, parts: list[Part]) -> list[Failure]:
    """Release the parts of a container of nobody's and forget it; the failures."""
    if release_all(parts) and (failures := release_all(parts)):
        return failures
    state.remove(run, identifier)
    return []

"""Find and release what a killed run left behind: the work of ``mydocker system prune``."""

import os
import signal
from contextlib import suppress

from mydocker.container import state
from mydocker.container.parts import rebuilt
from mydocker.container.running import release_all
from mydocker.kernel.errors import Failure


def dead(run: str) -> list[str]:
    """The ids of the containers below ``run`` that nobody looks after: their owner is dead."""
    return [identifier for identifier in state.identifiers(run) if not _owned(run, identifier)]


def _owned(run: str, identifier: str) -> bool:
    record = state.read(run, identifier)
    return record is not None and record.owner.alive()


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
    if record is not None and (failures := _release(record)):
        return failures
    state.remove(run, identifier)
    return []


def _release(record: state.State) -> list[Failure]:
    if record.process.alive():
        with suppress(ProcessLookupError):
            os.kill(record.process.pid, signal.SIGKILL)
    parts = rebuilt(record.parts)
    return release_all(parts) and release_all(parts)

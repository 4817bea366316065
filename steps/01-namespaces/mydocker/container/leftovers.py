"""Find and release what a killed run left behind: the work of ``mydocker system prune``."""

import os
import signal
from contextlib import suppress

from mydocker.container import state
from mydocker.container.parts import rebuilt
from mydocker.container.running import release_all
from mydocker.kernel.errors import Failure


def prune(run: str) -> tuple[list[str], list[Failure]]:
    """Release every container below ``run`` whose owner is dead: ``(their ids, what went wrong)``.

    A container that is still in use is left alone. Needs the privileges that its parts needed.
    """
    gone, failures = [], []
    for identifier in state.identifiers(run):
        record = state.read(run, identifier)
        if record is not None and record.owner.alive():
            continue
        found = _release(record) if record is not None else []
        failures += found
        if not found:
            state.remove(run, identifier)
            gone.append(identifier)
    return gone, failures


def _release(record: state.State) -> list[Failure]:
    if record.process.alive():
        with suppress(ProcessLookupError):
            os.kill(record.process.pid, signal.SIGKILL)
    parts = rebuilt(record.parts)
    return release_all(parts) and release_all(parts)

"""Whoever looks at all networks waits for who is changing one: else half a change is a leftover."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sandbox.launcher import eventually
from sandbox.machine import Sandbox

from mydocker.network import leftovers
from mydocker.network.store import Store

pytestmark = pytest.mark.root


def waiting(path: Path) -> int:
    """How many wait for the lock of this file (proc_locks(5))."""
    lines = Path("/proc/locks").read_text().splitlines()
    inode = f":{path.stat().st_ino}"
    return sum("->" in line and line.split()[6].endswith(inode) for line in lines)


@pytest.mark.parametrize("look", [leftovers.leftovers, leftovers.remove_leftovers])
def test_what_is_being_made_is_no_leftover(
    sandbox: Sandbox, look: Callable[[Store], list[str]]
) -> None:
    store = Store(str(sandbox.root), str(sandbox.run))
    os.makedirs(store.state(), exist_ok=True)
    found: list[str] = []
    with store.lock():
        looking = threading.Thread(target=lambda: found.extend(look(store)))
        looking.start()
        half = Path(store.state("half-made.1"))
        half.touch()
        eventually(lambda: waiting(Path(store.lock().path)) == 1, what="it waits for the lock")
        half.unlink()  # made to the end
    looking.join()
    assert found == []

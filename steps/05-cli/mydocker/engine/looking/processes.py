"""``top``: the processes of a container, as ps(1) on the host shows them."""

import os
from collections.abc import Sequence

from mydocker.engine.errors import NotRunning
from mydocker.engine.groups import group_of
from mydocker.engine.records.store import Store
from mydocker.engine.truth import look
from mydocker.kernel.errors import Failure


def top(store: Store, word: str, options: Sequence[str] = ()) -> tuple[list[str], list[list[str]]]:
    """``(titles, rows)`` of ps with ``options``, by default ``-ef``. They must show the PID."""
    import subprocess

    identifier = store.find(word)
    state = look(store, identifier)
    if not state.up:
        raise NotRunning(identifier)
    pids = set(map(str, group_of(store, identifier).processes())) or _by_namespace(
        state.process.pid
    )
    told = subprocess.run(
        ["ps", *(options or ["-ef"])], capture_output=True, text=True, errors="replace", check=False
    )
    if told.returncode != 0:
        raise Failure(f"ps: {' '.join(told.stderr.split())[:200]}")
    lines = told.stdout.splitlines()
    titles = lines[0].split()
    if "PID" not in titles:
        raise Failure("Couldn't find PID field in ps output")
    place = titles.index("PID")
    rows = [line.split(None, len(titles) - 1) for line in lines[1:]]
    return titles, [row for row in rows if len(row) > place and row[place] in pids]


def _by_namespace(pid: int) -> set[str]:
    """Without a group of its own: those that share its PID namespace."""
    try:
        own = os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return set()  # it ended just now
    found = set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{name}/ns/pid") == own:
                found.add(name)
        except OSError:
            continue
    return found

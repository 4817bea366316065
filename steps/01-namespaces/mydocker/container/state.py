"""What is written down before anything is made, so that a killed run can be cleaned up after.

``<run>/<id>/state.json`` holds the parts that leave something on the host, who made them (the
owner) and the container's first process. It lies on a tmpfs (``/run``), where it lives as long as
what it speaks of: cgroups, mounts and links are gone after a reboot, and so is it.
"""

import json
import os
from typing import Any

from mydocker.container.processes import Identity
from mydocker.kernel.errors import KernelError
from mydocker.kernel.numbers import decimal
from mydocker.kernel.records import asdict, field, record

_NEW = ".new"


@record
class State:
    """One container's record. ``parts`` is what :func:`mydocker.container.parts.saved` gave."""

    id: str
    owner: Identity
    process: Identity
    parts: list[dict[str, Any]] = field(default_factory=list)


def path(run: str, identifier: str) -> str:
    """The directory of one container below ``run``."""
    return f"{run}/{identifier}"


def write(run: str, state: State) -> None:
    """Write the record whole or not at all: to a file of another name, then renamed.

    The first time, that is done with the whole directory: one without a record is a leftover, never
    a container that is about to begin. Raises KernelError.
    """
    directory = path(run, state.id)
    try:
        _write(run, directory, state)
    except OSError as error:
        hint = "Run it with sudo, or name a directory of your own: MYDOCKER_RUN=DIRECTORY"
        raise KernelError("write", (directory,), error.errno or 0, hint) from None


def _write(run: str, directory: str, state: State) -> None:
    if os.path.isdir(directory):
        _dump(f"{directory}/state.json.new", state)
        os.rename(f"{directory}/state.json.new", f"{directory}/state.json")
        return
    new = f"{run}/{state.owner.pid}-{state.owner.start_time}{_NEW}"
    os.makedirs(new, mode=0o711, exist_ok=True)
    _dump(f"{new}/state.json", state)
    os.rename(new, directory)


def _dump(path: str, state: State) -> None:
    with open(path, "w") as file:
        file.write(json.dumps(asdict(state)))  # json.dump would do without its part in C


def read(run: str, identifier: str) -> State | None:
    """The record of one container; None if there is none (yet, or any more)."""
    try:
        with open(f"{path(run, identifier)}/state.json") as file:
            told = json.load(file)
    except (FileNotFoundError, NotADirectoryError):
        return None
    owner, process = Identity(**told["owner"]), Identity(**told["process"])
    return State(told["id"], owner, process, told["parts"])


def remove(run: str, identifier: str) -> None:
    """Forget one container: its record and its directory. May be called twice."""
    directory = path(run, identifier)
    for name in ("state.json.new", "state.json"):
        try:
            os.unlink(f"{directory}/{name}")
        except FileNotFoundError:
            continue
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        return


def identifiers(run: str) -> list[str]:
    """The containers that have a directory below ``run``; an id has hexadecimal digits only."""
    try:
        found = [entry.name for entry in os.scandir(run) if entry.is_dir()]
    except FileNotFoundError:
        return []
    return sorted(name for name in found if not name.strip("0123456789abcdef"))


def abandoned(run: str) -> list[str]:
    """Directories of records that were never finished, for their writers are dead."""
    try:
        names = [name for name in os.listdir(run) if name.endswith(_NEW)]
    except FileNotFoundError:
        return []
    return [f"{run}/{name}" for name in sorted(names) if not _writer(name).alive()]


def _writer(name: str) -> Identity:
    """Who writes ``PID-START.new``; nobody for a name of another form."""
    pid, _, start = name.removesuffix(_NEW).partition("-")
    return Identity(decimal(pid, 1 << 31) or 0, decimal(start, 1 << 63) or 0)


def discard(directory: str) -> None:
    """Remove one of :func:`abandoned`. May be called twice."""
    try:
        for name in os.listdir(directory):
            os.unlink(f"{directory}/{name}")
        os.rmdir(directory)
    except FileNotFoundError:
        return

"""What is written down before anything is made, so that a killed run can be cleaned up after.

``<run>/<id>/state.json`` holds the parts that leave something on the host, who made them (the
owner) and the container's first process. It lies on a tmpfs (``/run``), where it lives as long as
what it speaks of: cgroups, mounts and links are gone after a reboot, and so is it.
"""

import os
from collections.abc import Callable
from typing import Any

from mydocker.container import private
from mydocker.container.processes import Identity
from mydocker.kernel import whole
from mydocker.kernel.errors import KernelError
from mydocker.kernel.numbers import decimal
from mydocker.kernel.records import asdict, field, record
from mydocker.kernel.whole import Damaged, NotWritten

_NEW = ".new"
_NAME = "state.json"


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
    except (OSError, NotWritten) as error:
        hint = "Run it with sudo, or name a directory of your own: MYDOCKER_RUN=DIRECTORY"
        raise KernelError("write", (directory,), error.errno or 0, hint) from None


def _write(run: str, directory: str, state: State) -> None:
    if os.path.isdir(directory):
        _dump(directory, state)
        return
    name = f"{state.owner.pid}-{state.owner.start_time}{_NEW}"
    new = f"{run}/{name}"
    try:
        private.make(run, name, mode=private.DIRECTORY)
        _dump(new, state)
        os.rename(new, directory)
    except BaseException:
        discard(new)
        raise


def _dump(directory: str, state: State) -> None:
    # On a tmpfs, which no power cut leaves behind: there is no disk to wait for.
    whole.write_json(f"{directory}/{_NAME}", asdict(state), durable=False)


def read(run: str, identifier: str) -> State | None:
    """The record of one container; None if there is none (yet, or any more). Raises Damaged."""
    file = f"{path(run, identifier)}/{_NAME}"
    told = whole.read_json(file)
    if told is None:
        return None
    try:
        owner, process = Identity.load(told["owner"]), Identity.load(told["process"])
        return State(str(told["id"]), owner, process, [dict(part) for part in told["parts"]])
    except (KeyError, TypeError, ValueError):
        raise Damaged(file) from None


def remove(run: str, identifier: str) -> None:
    """Forget one container: its record and its directory. May be called twice."""
    discard(path(run, identifier))


def identifiers(run: str) -> list[str]:
    """The containers that have a directory below ``run``; an id has hexadecimal digits only."""
    try:
        with os.scandir(run) as entries:
            found = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
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
    """Remove one of :func:`abandoned`, or a record with what is beside it. May be called twice."""
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return
    # The record goes last: as long as the directory is there, it says what it is of.
    for name in sorted(names, key=lambda name: name == _NAME):
        _gone(os.unlink, f"{directory}/{name}")
    _gone(os.rmdir, directory)


def _gone(remove: Callable[[str], None], path: str) -> None:
    try:
        remove(path)
    except FileNotFoundError:
        return

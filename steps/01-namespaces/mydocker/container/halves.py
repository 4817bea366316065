"""Make a container in two halves, which any two processes can do: ``create``, and later ``start``.

After ``create`` everything is there but the command: a process waits inside of its namespaces, its
mounts and limits, with its last user, powers and filter, at the gate in its run directory
(``container.gate``). Whoever created it may have ended. ``start`` opens the gate, and hears if the
command could not be executed. An OCI runtime is made of that.

Who looks after such a container? Nobody has to stay: in its record it is its own owner. When its
process ends it is a leftover, to be released by ``delete`` or by ``system prune``. And as long as
it is not wholly created, its creator is the owner: if that is killed, so is the container.
"""

import errno
import fcntl
import json
import os

from mydocker.container import gate, leftovers, state
from mydocker.container.channel import Channel
from mydocker.container.parts import Part, rebuilt
from mydocker.container.process import Process
from mydocker.container.processes import Identity, identify
from mydocker.container.running import Container, hear, new_identifier
from mydocker.kernel import signals, syscalls, trace
from mydocker.kernel.errors import Failure, KernelError
from mydocker.kernel.records import record

_PATIENCE = 10.0  # seconds

# The words of the OCI runtime specification
CREATING, CREATED, RUNNING, STOPPED = "creating", "created", "running", "stopped"


@record
class Created:
    """A container whose process waits. ``terminal``: the master of its terminal, for the caller to
    close; -1 if it has none."""

    id: str
    process: Identity
    terminal: int = -1


class _Half(Container):
    """A container that is left at its gate."""

    def _recorded(self) -> bool:
        return True

    def _begin(self) -> None:
        super()._begin()
        self.gate = gate.Gate(state.path(self.run, self.id))

    def _attach(self) -> None:
        super()._attach()
        if any(part.descriptors() for part in self.parts):
            message = f"container {self.id}: something must stay open as long as it runs"
            raise Failure(
                message, "Published ports need a monitor: they cannot be had in two halves"
            )

    def _listen(self, ours: Channel) -> bool:
        """Hear of the first half, and give the container into its own hands."""
        if not super()._listen(ours):
            raise Failure(f"container {self.id}: its process was killed before it was created")
        process = identify(self.pid)
        self._record(process, owner=process)
        try:
            ours.send({"written": True})
        except OSError:
            raise Failure(f"container {self.id}: its process was killed") from None
        return True

    def let_go(self) -> Created:
        """It is on its own: keep nothing of it but its terminal."""
        signals.outlives(self.pid)
        os.close(self.pidfd)
        self._close_gate()
        return Created(self.id, identify(self.pid), self.master)

    def release(self) -> None:
        self._close_gate()
        super().release()

    def _close_gate(self) -> None:
        if self.gate is not None:
            self.gate.close()
            self.gate = None


def create(
    process: Process,
    namespaces: int,
    parts: list[Part],
    *,
    run_directory: str,
    identifier: str = "",
) -> Created:
    """Make a container of ``parts`` whose process waits instead of becoming ``process``.

    Raises Failure if that failed; then nothing of it is left.
    """
    signals.collect()
    container = _Half(identifier or new_identifier(), process, namespaces, parts, run_directory)
    if os.path.exists(state.path(run_directory, container.id)):
        raise Failure(f"container with id {container.id} exists", "Delete it, or choose another id")
    container.start()
    return container.let_go()


def start(run: str, identifier: str) -> Identity:
    """Let the process of a created container become its command; that process.

    Raises Failure if it is not one that waits, and for a command that cannot be executed (exit code
    127 or 126): the container is stopped then, and to be deleted.
    """
    record = _record(run, identifier)
    directory = state.path(run, identifier)
    go, told = _ends(record, directory)
    try:
        _say_go(go, f"{directory}/{gate.GO}")
        if not _heard_going(told):
            raise Failure(f"container {identifier}: its process was killed before it started")
    except BrokenPipeError:
        raise _not_waiting(record) from None  # another has started it just now
    except Failure:
        _wait_for_end(record.process)
        raise
    finally:
        os.close(go)
        os.close(told)
    return record.process


def _ends(record: state.State, directory: str) -> tuple[int, int]:
    """Our ends of the two FIFOs, which nobody else has meanwhile (flock(2)).

    They are opened without waiting: if nobody is at the other end, nobody will ever come.
    """
    go = told = -1
    try:
        go = os.open(f"{directory}/{gate.GO}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.flock(go, fcntl.LOCK_EX | fcntl.LOCK_NB)
        told = os.open(f"{directory}/{gate.TOLD}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if go >= 0:
            os.close(go)
        if error.errno == errno.EWOULDBLOCK:
            raise Failure(f"another process starts container {record.id} just now") from None
        if error.errno in (errno.ENOENT, errno.ENXIO):
            raise _not_waiting(record) from None
        raise KernelError("open", (directory,), error.errno or 0) from None
    return go, told


def _say_go(go: int, path: str) -> None:
    """One line, in one write. Raises BrokenPipeError if nobody waits any more."""
    told = {"go": trace.count() + 1, "observed": trace.observed(), "fault": trace.armed()}
    line = json.dumps({name: value for name, value in told.items() if value})
    why = "the process that waits at the other end becomes the command"
    try:
        trace.request("write", (path, line), why, os.write, go, f"{line}\n".encode())
    except KernelError as error:
        if error.errno == errno.EPIPE:
            raise BrokenPipeError from None
        raise


def _wait_for_end(process: Identity) -> None:
    """It has told why it cannot go on, and ends: who asks next hears that it is stopped."""
    try:
        pidfd = syscalls.pidfd_open(process.pid)
    except Failure:
        return
    try:
        if process.alive():
            signals.ready(pidfd, _PATIENCE)
    finally:
        os.close(pidfd)


def _heard_going(told: int) -> bool:
    """Hear what the process says until it is the command; False if it never said anything."""
    going, rest = False, b""
    while data := signals.read(told, 1 << 16):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            going = True
            hear(json.loads(line))
    if rest:  # the last words of one that became another program already: they have no end
        hear(json.loads(rest))
    return going


def status(run: str, identifier: str) -> str:
    """CREATING, CREATED, RUNNING or STOPPED. Raises Failure if there is no such container."""
    record = _record(run, identifier)
    if record.owner != record.process:
        return CREATING if record.owner.alive() else STOPPED
    if not record.process.alive():
        return STOPPED
    try:
        # A FIFO that nobody has open to read from cannot be opened to write (ENXIO, fifo(7))
        way = os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC
        os.close(os.open(f"{state.path(run, identifier)}/{gate.GO}", way))
    except OSError:
        return RUNNING
    return CREATED


def delete(run: str, identifier: str, *, force: bool = False) -> None:
    """Release all that there is of a container, and forget it. One that waits is killed; one that
    runs only with ``force``. Raises Failure."""
    record = _record(run, identifier)
    now = status(run, identifier)
    if now == CREATING or (now == RUNNING and not force):
        raise Failure(f"cannot delete container {identifier} that is not stopped: {now}")
    leftovers.end(record, why="it is to be deleted: what waits or runs in it ends")
    signals.collect()
    if failures := leftovers.release_parts(run, identifier, rebuilt(record.parts)):
        raise failures[0]


def _record(run: str, identifier: str) -> state.State:
    record = state.read(run, identifier)
    if record is None:
        raise Failure(f"container {identifier} does not exist")
    return record


def _not_waiting(record: state.State) -> Failure:
    now = "running" if record.process.alive() else "stopped"
    return Failure(f"cannot start a container that is {now}: {record.id}")

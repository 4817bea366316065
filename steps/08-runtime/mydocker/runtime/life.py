"""The life of a container, each step of it by another process: create, start, kill, delete.

=========  ============================================  ==========================
command    the container before                          and after
=========  ============================================  ==========================
create     is not there                                  created: waits at its gate
start      created                                       running
kill       created, running, paused                      as the signal has it
delete     stopped (created; any of them by ``--force``)  is not there
=========  ============================================  ==========================

Nobody stays beside it: whoever called us is, or has named, the process that waits for its end
(PR_SET_CHILD_SUBREAPER, in containerd-shim and conmon).
"""

import os
import signal
import time
from collections.abc import Callable
from typing import Any

from mydocker.container import halves, running
from mydocker.kernel.errors import Failure
from mydocker.kernel.records import asdict, record, replace
from mydocker.runtime import records
from mydocker.runtime.records import CREATED, RUNNING, STOPPED, Container, NotThere, Store
from mydocker.runtime.specification import Process

Warn = Callable[[str], None]


@record
class Creation:
    """The options of ``create`` and ``run``."""

    identifier: str
    bundle: str
    console_socket: str = ""
    pid_file: str = ""
    preserved: int = 0
    new_keyring: bool = True
    detached: bool = True


class Making(halves.Half):
    """The container of a bundle on its way to *created*: what was asked is noted beside it."""

    def __init__(self, store: Store, made: Container, assembled: Any, preserved: int) -> None:
        self._store, self._made, self.preserved = store, made, preserved
        super().__init__(made.id, assembled.process, assembled.flags, assembled.parts, store.root)

    def _begin(self) -> None:
        self._store.write(self._made)
        super()._begin()


def create(store: Store, asked: Creation, warn: Warn) -> Making:
    """Make the container of a bundle, whose first process waits at its gate. Raises Failure."""
    from mydocker.runtime import assembly, reader
    from mydocker.runtime.privileges import unknown

    path = os.path.join(asked.bundle, "config.json")
    missing = "JSON specification file config.json not found"
    data, told = records.read_config(path, missing)
    spec = reader.read(told)
    check_terminal(spec.process, asked.console_socket, asked.detached)
    sets = spec.process.capabilities if spec.process else None
    if sets and (names := unknown(sets)):
        warn(f"ignoring unknown or unavailable capabilities: [{' '.join(names)}]")
    with store.adding(asked.identifier):
        made = Container(
            asked.identifier,
            asked.bundle,
            assembly.rootfs_of(spec, asked.bundle),
            spec.oci_version,
            _now(),
            annotations=spec.annotations,
            hooks={
                "poststart": [asdict(hook) for hook in spec.hooks.poststart],
                "poststop": [asdict(hook) for hook in spec.hooks.poststop],
            },
        )
        options = assembly.Asked(asked.identifier, asked.bundle, asked.preserved, asked.new_keyring)
        assembled = assembly.assembled(spec, options, told_state(made, "creating", 0))
        _keep(f"{store.directory(asked.identifier)}/config.json", data)
        making = Making(store, replace(made, group=assembled.group), assembled, asked.preserved)
        making.start()
        making.close_gate()
        try:
            if asked.console_socket:
                from mydocker.runtime import console

                size = spec.process.console_size if spec.process else None
                console.hand_over(asked.console_socket, making.master, size)
            if asked.pid_file:
                write_pid(asked.pid_file, making.pid)
        except BaseException:
            making.kill()
            making.release()
            raise
        return making


def check_terminal(process: Process | None, socket: str, detached: bool) -> None:
    """Raises Failure for a terminal that nobody would have, and for one that nobody asked for."""
    terminal = process is not None and process.terminal
    if detached and terminal and not socket:
        raise Failure("cannot allocate tty if runtime will detach without setting console socket")
    if socket and not (detached and terminal):
        raise Failure("cannot use console socket if runtime will not detach or allocate tty")


def _keep(path: str, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)


def write_pid(path: str, pid: int) -> None:
    """Write a pid for who waits for the file: never half of it. Raises Failure."""
    directory, _, name = path.rpartition("/")
    draft = f"{directory or '.'}/.{name}"
    try:
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        try:
            os.write(fd, str(pid).encode())
        finally:
            os.close(fd)
        os.rename(draft, path)
    except OSError as error:
        raise Failure(f"open {path}: {(error.strerror or '').lower()}") from None


def _now() -> str:
    seconds, rest = divmod(time.time_ns(), 10**9)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09}Z"


def told_state(container: Container, status: str, pid: int) -> dict[str, Any]:
    """The state as the specification says it (runtime.md), for hooks and as the begin of
    ``state``."""
    told: dict[str, Any] = {
        "ociVersion": container.version or "1.0.0",
        "id": container.id,
        "status": status,
        "pid": pid,
        "bundle": container.bundle,
    }
    if container.annotations:
        told["annotations"] = container.annotations
    return told


def run(store: Store, asked: Creation, warn: Warn, *, keep: bool = False) -> int:
    """``create`` and ``start`` in one, and unless it is detached, wait for its end: its exit code.

    Then nothing is left of it, unless it is to be kept. Raises Failure.
    """
    made = create(store, asked, warn)
    try:
        with running.signals_for(made):  # from here on signals for us are for the command
            start(store, asked.identifier, warn)
            return 0 if asked.detached else made.wait().exit_code
    except BaseException:
        made.kill()
        raise
    finally:
        if not (asked.detached or keep):
            delete(store, asked.identifier, True, warn)


# ---------------------------------------------------------------- start


def start(store: Store, identifier: str, warn: Warn) -> None:
    """Let it run. Raises Failure, in runc's words for one that is not created."""
    with store.changing(identifier) as container:
        status = store.status(container)
        if status == STOPPED:
            raise Failure("cannot start a container that has stopped")
        if status != CREATED:
            raise Failure("cannot start an already running container")
        process = halves.start(store.root, identifier)
        after(container, "poststart", RUNNING, process.pid, warn)


def after(container: Container, moment: str, status: str, pid: int, warn: Warn) -> None:
    """Run the hooks of a moment at which the container is what it is: a failure is only told."""
    told = container.hooks.get(moment)
    if not told:
        return
    from mydocker.kernel.records import fromdict
    from mydocker.runtime import hooks
    from mydocker.runtime.specification import Hook

    for one in told:
        try:
            hooks.run((fromdict(Hook, one),), told_state(container, status, pid))
        except Failure as failure:
            warn(f"{moment}: {failure}")


# ---------------------------------------------------------------- kill


def signal_number(word: str) -> int:
    """``KILL``, ``SIGKILL``, ``9``. Raises Failure for what is no signal."""
    if word.isdecimal() and len(word) < 4:
        number = int(word)
    else:
        name = word.upper()
        name = name if name.startswith("SIG") else f"SIG{name}"
        found = getattr(signal, name, None) if not name.startswith("SIG_") else None
        if not isinstance(found, int):
            raise Failure(f"unknown signal {word!r}".replace("'", '"'))
        number = int(found)
    if not 0 < number <= signal.SIGRTMAX:
        raise Failure(f'unknown signal "{word}"')
    return number


def kill(store: Store, identifier: str, number: int, everyone: bool) -> None:
    """Send the signal to its first process, or to all. Raises Failure if it does not run."""
    container = store.find(identifier)
    if everyone:
        from mydocker.runtime.groups import signal_all

        signal_all(container, number)
    elif not store.process(identifier).signal(number, why="as the caller asked"):
        raise Failure("container not running")


# ---------------------------------------------------------------- delete


def delete(store: Store, identifier: str, force: bool, warn: Warn) -> None:
    """Take away what there is of it. Raises Failure if it runs, unless by ``force``."""
    try:
        with store.changing(identifier) as container:
            status = store.status(container)
            if not force and status not in (STOPPED, CREATED):
                raise Failure(f"cannot delete container {identifier} that is not stopped: {status}")
            halves.release(store.root, identifier)
            after(container, "poststop", STOPPED, 0, warn)
            store.forget(identifier)
    except NotThere:
        if not force:
            raise
        _forget_half(store, identifier)


def _forget_half(store: Store, identifier: str) -> None:
    """Of one that was killed before it had a record, the directory may be left."""
    if os.path.isdir(store.directory(identifier)):
        with store.adding(identifier):
            store.forget(identifier)

"""A monitor starts its container: parts, streams, and what is written down of it."""

import _socket
import os
import sys
import time
from typing import Any

from mydocker.container.processes import identify, myself
from mydocker.container.running import Container
from mydocker.engine.records import events
from mydocker.engine.records.config import Config
from mydocker.engine.records.state import (
    CREATED,
    EXITED,
    NOBODY,
    RUNNING,
    State,
    boot_id,
)
from mydocker.engine.records.store import Store
from mydocker.engine.words.times import NEVER, now
from mydocker.kernel.errors import CANNOT_RUN, Failure
from mydocker.kernel.records import replace


def start(
    store: Store, config: Config, listener: _socket.socket | None
) -> tuple[Container, dict[str, Any]]:
    """Start the container; its state is written. Raises Failure. Holds the container's lock."""
    # late: a monitor at its end needs none of that
    from mydocker.engine import assembly
    from mydocker.engine.truth import finder

    state = store.state(config.id)
    if listener is not None:  # somebody asked for it, and it is not the restart policy
        state = replace(state, restart_count=0, stopped=False)
    try:
        parts = assembly.parts_of(store, config, finder(store))
        process, flags = assembly.process_of(config), config.namespaces.clone_flags
        container = Container(config.id, process, flags, parts, store.run)
        streams = _streams(config)
        try:
            container.start()
        finally:
            let_go_of_streams()
    except BaseException as error:
        _note_failure(store, config, state, error)
        raise
    try:
        _note_start(store, config, state, container)
    except BaseException:  # the disk is full: nobody would know of it
        container.kill()
        container.release()
        raise
    return container, _facts(store, config, container, streams, listener)


def _note_start(store: Store, config: Config, state: State, container: Container) -> None:
    started = replace(
        state,
        status=RUNNING,
        process=identify(container.pid),
        monitor=myself(),
        exit_code=0,
        error="",
        oom_killed=False,
        started=now(),
        boot=boot_id(),
    )
    store.write_state(config, started)
    events.tell_start(store, config)


def _note_failure(store: Store, config: Config, state: State, error: BaseException) -> None:
    code = error.exit_code or CANNOT_RUN if isinstance(error, Failure) else 128
    status = CREATED if state.started == NEVER else EXITED
    failed = replace(
        state, status=status, process=NOBODY, monitor=NOBODY, exit_code=code, error=str(error)
    )
    store.note_state(config, failed)


def _streams(config: Config) -> dict[str, int]:
    """Make our standard streams what the container's shall be; the other ends of the pipes.

    With a terminal they stay the reader's for the moment: the new terminal gets their size.
    """
    ends = {"out": -1, "err": -1, "input": -1}
    if config.process.terminal:
        return ends
    for name, fd in (("out", 1), ("err", 2)):
        ends[name], theirs = os.pipe2(os.O_CLOEXEC)
        os.dup2(theirs, fd)
        os.close(theirs)
    if config.process.input:
        theirs, ends["input"] = os.pipe2(os.O_CLOEXEC)
        os.dup2(theirs, 0)
        os.close(theirs)
    return ends


def let_go_of_streams() -> None:
    """Our standard streams are nobody's from now on."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)


def _facts(
    store: Store,
    config: Config,
    container: Container,
    streams: dict[str, int],
    listener: _socket.socket | None,
) -> dict[str, Any]:
    kept = [fd for part in container.parts for fd in part.descriptors()]
    return {
        **streams,
        "id": config.id,
        "name": config.name,
        "root": store.root,
        "run": store.run,
        "path": list(sys.path),
        "python": sys.executable,
        "environment": _environment(),
        "pid": container.pid,
        "pidfd": container.pidfd,
        "master": container.master,
        "log": store.log(config.id) if config.log_driver == "json-file" else "",
        "log_size": config.log_limits[0],
        "log_files": config.log_limits[1],
        "begun": {},
        "listener": listener.detach() if listener else -1,
        "once": config.attached,
        "kept": kept,
        "pending": b"",
        "ending": False,
        "wait": 0.0,
        "health": _tests(config),
    }


def _environment() -> dict[str, str]:
    """Of a slim monitor and its prober: the caller's own has no place there, but for the group that
    all of ours are in. Else a container that is started again would come into another."""
    found = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    if parent := os.environ.get("MYDOCKER_CGROUP_PARENT"):
        found["MYDOCKER_CGROUP_PARENT"] = parent
    return found


def _tests(config: Config) -> dict[str, Any]:
    """When the container's health is tested, for ``probes``; nothing if it is not."""
    if config.settings.healthcheck is None:  # as in most, which do without the import
        return {}
    from mydocker.engine.records.health import check_of

    check = check_of(config)
    if check is None:
        return {}
    names = ("interval", "start_interval", "start_period", "timeout")
    times: dict[str, Any] = {name: getattr(check, name) / 10**9 for name in names}
    return {**times, "began": time.monotonic(), "due": 0.0, "asked": False, "pid": -1, "fd": -1}

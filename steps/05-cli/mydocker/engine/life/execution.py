"""``exec``: one more process in a container that runs.

It joins every namespace of the container's first process and its control group, and may do no more
than that one: it loses the same capabilities and gets the same seccomp filter.
"""

import _socket
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mydocker.cgroups import hierarchy
from mydocker.cgroups.part import CgroupPart, JoinGroup
from mydocker.container.parts import Part
from mydocker.container.process import Process
from mydocker.container.running import Container, Ended, new_identifier, run
from mydocker.engine.errors import NotRunning
from mydocker.engine.groups import group_part
from mydocker.engine.records import events
from mydocker.engine.records.config import Config
from mydocker.engine.records.state import PAUSED, RESTARTING
from mydocker.engine.records.store import Store
from mydocker.engine.truth import look
from mydocker.kernel import signals, syscalls, trace
from mydocker.kernel.descriptors import close_all_but
from mydocker.kernel.errors import Conflict
from mydocker.kernel.records import record, replace
from mydocker.namespaces import joining
from mydocker.overlay2.environment import environment
from mydocker.security.confinement import confined_exec, with_all_capabilities
from mydocker.security.trampoline import Trampolined


@record
class ExecConfig:
    """What ``exec`` was asked for: the command, and how it differs from the container's own."""

    arguments: tuple[str, ...]
    environment: tuple[str, ...] = ()  # KEY=VALUE; KEY takes it away
    directory: str = ""
    user: str = ""
    input: bool = False
    terminal: bool = False
    privileged: bool = False


def execute(store: Store, word: str, asked: ExecConfig) -> Ended:
    """Run a command in a container and wait for it. Raises Conflict, or another Failure."""
    identifier = store.find(word)
    config = store.config(identifier)
    with prepared(store, config, asked) as (process, parts):
        number = new_identifier()
        tell_start(store, config, asked, number)
        ended = run(process, 0, parts, run_directory=store.run)
        code = {"exitCode": str(ended.exit_code), "execID": number}
        events.tell(store, config, "exec_die", **code)
        return ended


def tell_start(store: Store, config: Config, asked: ExecConfig, number: str) -> None:
    """Tell that the command is about to start."""
    command = " ".join(asked.arguments)
    for action in ("create", "start"):
        events.tell(store, config, f"exec_{action}: {command}", execID=number)


@contextmanager
def prepared(
    store: Store, config: Config, asked: ExecConfig
) -> Iterator[tuple[Process, list[Part]]]:
    """The process and its parts; the first process of the container is held on to meanwhile.

    Raises Conflict if it does not run, is paused or restarting, or another Failure.
    """
    state = look(store, config.id)
    if state.status == PAUSED:
        raise Conflict(f"Container {config.name} is paused, unpause the container before exec")
    if state.status == RESTARTING:
        raise Conflict(f"Container {config.id} is restarting, wait until the container is running")
    if not state.up:
        raise NotRunning(config.id)
    flags = joining.different(state.process.pid)
    target = joining.find(state.process.pid)
    try:
        if not state.process.alive():  # the descriptors are of another process with its pid
            raise NotRunning(config.id)
        group = _with_room(group_part(store, config.id), state.process.pid)
        parts = _joining(target, flags, group)
        security, rootfs = config.security, config.rootfs
        if asked.privileged:
            security = with_all_capabilities(security)
        user = asked.user or rootfs.user
        yield (
            _process(config, asked),
            confined_exec(parts, user, rootfs.groups, security, config.id),
        )
    finally:
        target.close()


def _with_room(group: CgroupPart | None, first: int) -> CgroupPart | None:
    """The container's group; if it takes no process, the one in which its ``first`` process is.

    What manages groups of its own, as systemd or Docker in a container, hands controllers on to
    them, and then v2 lets nobody into the group itself (cgroups(7), no internal processes).
    """
    if group is None:
        return None
    machine = group.group().machine
    if machine.unified is None or len(machine.usable) > 1:
        return group
    if not group.group().read_or("cgroup.subtree_control"):
        return group
    return replace(group, path=hierarchy.groups_of(first)["unified"].strip("/"))


def _joining(target: joining.Target, flags: int, group: CgroupPart | None) -> list[Part]:
    """The parts that bring the process to where ``target`` is: its group, then its namespaces."""
    # lab 5.1: join a container
    # setns(2) with a PID namespace takes only children, so that one is joined before the fork.
    early = flags & syscalls.CLONE_NEWPID
    joined = joining.Joined(target, early, flags & ~early)
    # In which order they act, their stages say.
    return [JoinGroup(group), joined] if group else [joined]
    # end lab


def _process(config: Config, asked: ExecConfig) -> Process:
    own = [f"{name}={value}" for name, value in config.process.environment.items()]
    return Trampolined(
        asked.arguments,
        environment(own, "", asked.environment),
        asked.directory or config.process.directory,
        terminal=asked.terminal,
        input=asked.input,
    )


def execute_detached(store: Store, word: str, asked: ExecConfig) -> None:
    """Start a command in a container and leave it there. Raises Failure if it cannot start."""
    execute_attached(store, word, replace(asked, input=False)).close()


def execute_attached(store: Store, word: str, asked: ExecConfig) -> _socket.socket:
    """Start a command; a connection to its terminal, for ``attaching.Attachment``.

    A process of its own waits for the command, a monitor as a container's. So the client may
    leave, by the detach keys or because it is killed: the command goes on, as in Docker. Raises
    Failure if it cannot start.
    """
    from mydocker.engine.monitor.launch import outliving

    config = store.config(store.find(word))
    number = new_identifier()
    with prepared(store, config, asked) as (process, parts):
        tell_start(store, config, asked, number)  # before its end can be told

        def watch(socket: _socket.socket) -> None:
            code = _wait_for(Container(number, process, 0, parts, store.run), socket)
            events.tell(store, config, "exec_die", exitCode=str(code), execID=number)

        return outliving(watch, "somebody must wait for it when we have gone")


def _wait_for(container: Container, theirs: _socket.socket) -> int:
    """Be the monitor of a command: carry its terminal's bytes, if it has one; its exit code."""
    from mydocker.container.channel import error_message, event_message
    from mydocker.engine.monitor.launch import say
    from mydocker.engine.monitor.start import let_go_of_streams
    from mydocker.engine.monitor.supervisor import READS, TYPES, Client, Supervisor

    os.setsid()
    signals.as_in_a_new_python()
    if trace.observed():
        trace.report_to(lambda event: say(theirs, event_message(event)))
    if not container.process.terminal:
        let_go_of_streams()
    try:
        container.start()
    except BaseException as error:
        say(theirs, error_message(error))
        os._exit(1)
    let_go_of_streams()  # only now: its terminal has the size of the reader's
    say(theirs, {"started": container.pid})
    close_all_but(container.master, container.pidfd, theirs.fileno())
    os.chdir("/")
    facts: dict[str, Any] = dict.fromkeys(("out", "err", "input", "listener"), -1)
    facts |= {"pid": container.pid, "pidfd": container.pidfd, "master": container.master}
    facts |= {"log": "", "once": True, "kept": [], "pending": b"", "ending": False}
    supervisor = Supervisor(facts, [Client(theirs, READS | TYPES)])
    status = supervisor.watch()
    assert status is not None  # which is what a timeout gives
    code = os.waitstatus_to_exitcode(status)
    code = code if code >= 0 else 128 - code
    supervisor.tell_all(b"x" + str(code).encode())
    return code

"""``exec``: one more process in a container that runs.

It joins every namespace of the container's first process and its control group, and may do no more
than that one: it loses the same capabilities and gets the same seccomp filter.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from mydocker.cgroups.part import CgroupPart
from mydocker.container import channel
from mydocker.container.parts import Part
from mydocker.container.process import Process
from mydocker.container.running import Container, Ended, new_identifier, run
from mydocker.engine import events
from mydocker.engine.config import Config
from mydocker.engine.errors import NotRunning, Refused
from mydocker.engine.groups import group_part
from mydocker.engine.security import trampoline
from mydocker.engine.security.assembly import confined_exec, with_all_capabilities
from mydocker.engine.security.settings import from_options
from mydocker.engine.state import PAUSED, RESTARTING
from mydocker.engine.store import Store
from mydocker.engine.truth import look
from mydocker.kernel import syscalls
from mydocker.kernel.errors import Failure
from mydocker.namespaces import joining
from mydocker.overlay2.environment import environment


@dataclass(frozen=True)
class Wish:
    """What ``exec`` was asked for: the command, and how it differs from the container's own."""

    arguments: tuple[str, ...]
    environment: tuple[str, ...] = ()  # KEY=VALUE, or KEY for ours
    directory: str = ""
    user: str = ""
    input: bool = False
    terminal: bool = False
    privileged: bool = False


@dataclass(frozen=True)
class JoinGroup(Part):
    """The container's control group, in which the new process is born or which it joins."""

    made: CgroupPart

    def birthplace(self) -> str:
        return self.made.birthplace()

    def attach(self, pid: int) -> None:
        self.made.attach(pid)

    def enter(self) -> None:
        self.made.enter()


def execute(store: Store, word: str, wish: Wish) -> Ended:
    """Run a command in a container and wait for it. Raises NotRunning, Refused, or a Failure."""
    identifier = store.find(word)
    config = store.config(identifier)
    with _prepared(store, config, wish) as (process, parts):
        number = new_identifier()
        _tell(store, config, "start", wish, number)
        ended = run(process, 0, parts, run_directory=store.run)
        code = {"exitCode": str(ended.exit_code), "execID": number}
        events.tell(store, config, "exec_die", **code)
        return ended


def _tell(store: Store, config: Config, what: str, wish: Wish, number: str) -> None:
    command = " ".join(wish.arguments)
    for action in ("create", what):
        events.tell(store, config, f"exec_{action}: {command}", execID=number)


@contextmanager
def _prepared(store: Store, config: Config, wish: Wish) -> Iterator[tuple[Process, list[Part]]]:
    """The process and its parts; the first process of the container is held on to meanwhile."""
    state = look(store, config.id)
    if state.status == PAUSED:
        raise Refused(f"Container {config.name} is paused, unpause the container before exec")
    if state.status == RESTARTING:
        raise Refused(f"Container {config.id} is restarting, wait until the container is running")
    if not state.up:
        raise NotRunning(config.id)
    flags = joining.different(state.process.pid)
    target = joining.find(state.process.pid)
    try:
        if not state.process.alive():  # the descriptors are of another process with its pid
            raise NotRunning(config.id)
        early = flags & syscalls.CLONE_NEWPID
        joined = joining.Joined(target, early, flags & ~early)
        made = group_part(store, config.id)
        parts: list[Part] = [JoinGroup(made)] if made else []
        security = from_options(config.options)
        if wish.privileged:
            security = with_all_capabilities(security)
        user = wish.user or config.options.get("user") or config.image_config.get("User") or ""
        yield (
            _process(config, wish),
            confined_exec([*parts, joined], user, security, config.id),
        )
    finally:
        target.close()


def _process(config: Config, wish: Wish) -> Process:
    own = [f"{name}={value}" for name, value in config.environment.items()]
    variables = environment(own, "", _with_term(wish), os.environ)
    return Process(
        wish.arguments,
        variables,
        wish.directory or config.directory,
        terminal=wish.terminal,
        input=wish.input,
        executor=trampoline.become,
    )


def _with_term(wish: Wish) -> Iterable[str]:
    return (*(["TERM"] if wish.terminal and "TERM" in os.environ else []), *wish.environment)


def execute_detached(store: Store, word: str, wish: Wish) -> None:
    """Start a command in a container and leave it there. Raises Failure if it cannot start."""
    identifier = store.find(word)
    config = store.config(identifier)
    ours, theirs = channel.pair()
    with _prepared(store, config, replace(wish, input=False)) as (process, parts):
        pid = syscalls.fork(why="somebody must wait for it when we have gone")
        if pid == 0:
            try:
                ours.close()
                _wait_for(Container(new_identifier(), process, 0, parts, store.run), theirs)
            finally:
                os._exit(1)
    theirs.close()
    try:
        message, _ = ours.receive()
    finally:
        ours.close()
    if message is None:
        raise Failure("the process that should wait for the command was killed")
    if "error" in message:
        raise channel.error_of(message)
    _tell(store, config, "start", wish, new_identifier())


def _wait_for(container: Container, theirs: channel.Channel) -> None:
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    if not container.process.terminal:
        for fd in (0, 1, 2):
            os.dup2(null, fd)
    try:
        container.start()
    except BaseException as error:
        theirs.send(channel.error_message(error))
        os._exit(1)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    theirs.send({"started": container.pid})
    master, pidfd = container.master, container.pidfd
    low, high = sorted((max(master, 3), pidfd))
    for first, last in ((3, low - 1), (low + 1, high - 1), (high + 1, 1 << 20)):
        if first <= last and first >= 3:
            syscalls.close_range(first, last, 0)
    os.chdir("/")
    container.wait()
    os._exit(0)

"""What can be done with a container that is there: start, stop, kill, pause, wait, and so on.

Each function takes the store and the container's name or id, and returns its id or what was asked.
They raise NoSuchContainer, NotRunning, or another Failure.
"""

import _socket
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

from mydocker.cgroups.limits import Limits
from mydocker.container.processes import Identity
from mydocker.engine import connection
from mydocker.engine.errors import NoSuchContainer, NotRunning
from mydocker.engine.records import events, names
from mydocker.engine.records.config import Config, Restart
from mydocker.engine.records.state import DEAD, NOBODY, PAUSED, RESTARTING, RUNNING, State
from mydocker.engine.records.store import Store
from mydocker.engine.truth import changing, look
from mydocker.kernel.errors import OF_KIND, Conflict, Failure, Invalid
from mydocker.kernel.records import replace

_PATIENCE = 60.0  # seconds for what follows a SIGKILL: the parts are released
_SILENCES = 3  # of who is attached, from a monitor that does nothing
_IDLE = 300  # looks at a monitor that does nothing, one in 10 ms


def start(
    store: Store, identifier: str, *, types: bool = False, reads: bool = False
) -> _socket.socket | None:
    """Start a container. The connection of a client who ``types`` and ``reads``, to be closed.

    None if it runs already. A container with ``--rm`` that cannot be started is removed.
    """
    from mydocker.engine.monitor.launch import launch

    with changing(store, identifier) as (lock, state):
        if state.status == PAUSED:
            raise Conflict("cannot start a paused container, try unpause instead")
        if state.active:
            return None
        if state.status == DEAD:
            raise Conflict("container is marked for removal and cannot be started")
        config = store.config(identifier)
        try:
            return launch(store, config, lock, types=types, reads=reads)
        except Failure:
            if config.auto_remove:
                from mydocker.engine.forgetting import forget

                forget(store, config)
            raise


def _mark_stopped(store: Store, identifier: str) -> State:
    """From now on no restart policy starts it again."""
    with changing(store, identifier) as (_, state):
        if state.active and not state.stopped:
            state = replace(state, stopped=True)
            store.note_state(store.known(identifier), state)
        return state


def stop(
    store: Store, word: str, timeout: int | None = None, stop_signal: int | None = None
) -> str:
    """Ask it to end by its stop signal; after ``timeout`` seconds (-1: never) kill it."""
    identifier = store.find(word)
    config = store.known(identifier)
    seconds = config.stop_timeout if timeout is None else timeout
    if not look(store, identifier).active:
        return identifier
    end(store, identifier, stop_signal or config.stop_signal, seconds)
    events.tell(store, config, "stop")
    return identifier


def end(store: Store, identifier: str, number: int = signal.SIGKILL, seconds: float = 0.0) -> None:
    """End a container and wait until it is cleaned up; SIGKILL if ``seconds`` were not enough."""
    # Marked first, with the lock: whoever is starting it at this moment has finished then.
    state = _mark_stopped(store, identifier)
    socket = connection.connect(store, identifier)
    if socket is None:
        _end_without_door(store, identifier, state, number, seconds)
        return
    with closing(socket):
        try:
            socket.send(b"s", _socket.MSG_NOSIGNAL)
        except OSError:
            pass  # it ends already
        # lab 5.6: ask, wait, then kill
        _signal(store, identifier, state, number)
        patience = None if seconds < 0 else seconds
        done = connection.wait_end(socket, _PATIENCE if number == signal.SIGKILL else patience)
        if done is None and _active(store, identifier):
            _signal(store, identifier, store.state(identifier), signal.SIGKILL)
            connection.wait_end(socket, _PATIENCE)
        # end lab
    if _active(store, identifier) and not _by_force(store, identifier):
        raise Failure(
            f"tried to kill container {identifier[:12]}, but did not receive an exit event",
            "A process of it may wait for a disk or another machine (state D in ps)",
        )


def _end_without_door(
    store: Store, identifier: str, state: State, number: int, seconds: float
) -> None:
    """Its monitor cannot be spoken with: it writes the end down just now, or its socket is lost."""
    _signal(store, identifier, state, number)
    patience = _PATIENCE if number == signal.SIGKILL else seconds
    if not _gone(store, identifier, patience):
        _signal(store, identifier, store.state(identifier), signal.SIGKILL)
        if not _gone(store, identifier, _PATIENCE):
            _by_force(store, identifier)


def _gone(store: Store, identifier: str, seconds: float) -> bool:
    """Wait until it is not active; False if ``seconds`` (negative: for ever) were not enough, or
    nothing is left that its monitor could be busy with."""
    until, idle = time.monotonic() + seconds, 0
    while _active(store, identifier):
        if (seconds >= 0 and time.monotonic() > until) or idle > _IDLE:
            return False
        idle = idle + 1 if _stuck(store, identifier) else 0
        time.sleep(0.01)
    return True


def _stuck(store: Store, identifier: str) -> bool:
    """Does its monitor do nothing, though its process has ended?"""
    try:
        state = store.state(identifier)
    except NoSuchContainer:
        return False
    return state.active and not state.process.alive() and state.monitor.stopped()


def _by_force(store: Store, identifier: str) -> bool:
    """Its process has ended, and its monitor does not clean up: somebody holds it, or it hangs.

    Without it the container is one whose monitor was killed, and whoever looks cleans up. False if
    that did not help, or if its process lives.
    """
    try:
        state = store.state(identifier)
    except NoSuchContainer:
        return True
    if state.process.alive():
        return False
    state.monitor.signal(signal.SIGKILL, why="it does not clean up: others will")
    until = time.monotonic() + _PATIENCE
    while state.monitor.alive() and not state.monitor.doomed() and time.monotonic() < until:
        time.sleep(0.01)
    return not _active(store, identifier)


def _active(store: Store, identifier: str) -> bool:
    """False also for one with ``--rm`` that is gone with its end."""
    try:
        return look(store, identifier).active
    except NoSuchContainer:
        return False


def _signal(store: Store, identifier: str, state: State, number: int) -> None:
    """Send a signal to its first process, if there is one; what is paused must go on to get it."""
    try:
        config = store.known(identifier)  # before the signal: one with --rm may be gone with it
        if not state.process.signal(number, why="a signal for the container's first process"):
            return  # it ended just now, or waits for its next start
        events.tell(store, config, "kill", signal=str(int(number)))
        if state.status == PAUSED or number == signal.SIGKILL:
            _thaw(store, identifier)
    except NoSuchContainer:
        return  # it ended, and was removed


def kill(store: Store, word: str, number: int = signal.SIGKILL) -> str:
    """Send a signal to the first process of a container that runs."""
    identifier = store.find(word)
    try:
        state = look(store, identifier)
        if not state.up:
            raise NotRunning(identifier)
    except Failure as failure:
        raise OF_KIND[failure.kind](f"Cannot kill container: {word}: {failure.message}") from None
    config = store.known(identifier)
    if number in (signal.SIGKILL, config.stop_signal):
        state = _mark_stopped(store, identifier)
    _signal(store, identifier, state, number)
    if number == signal.SIGKILL and (socket := connection.connect(store, identifier)):
        with closing(socket):
            connection.wait_end(socket, _PATIENCE)
        if _stuck(store, identifier):
            _by_force(store, identifier)
    return identifier


def restart(store: Store, word: str, timeout: int | None = None) -> str:
    """Stop and start."""
    identifier = store.find(word)
    config = store.config(identifier)
    if config.auto_remove and look(store, identifier).active:
        # It must survive its own stop.
        _change(store, identifier, replace(config, auto_remove=False))
    stop(store, identifier, timeout)
    if config.auto_remove:
        _change(store, identifier, config)
    try:
        socket = start(store, identifier)
    except Failure:
        store.unwritten.clear()  # the same disk, most likely, and this says more
        raise
    if socket:
        socket.close()
    events.tell(store, config, "restart")
    return identifier


def _change(store: Store, identifier: str, config: Config) -> None:
    with changing(store, identifier):
        store.write_config(config)


def pause(store: Store, word: str, pauser: Identity = NOBODY) -> str:
    """Stop all its processes where they are: the freezer of its control group.

    ``pauser``: who does so for a moment only, and lets it go on.
    """
    from mydocker.cgroups import freezer
    from mydocker.engine.groups import group_of

    identifier = store.find(word)
    with changing(store, identifier) as (_, state):
        if state.status == PAUSED:
            raise Conflict(f"Container {word} is already paused")
        if state.status == RESTARTING:
            raise Conflict(f"Container {word} is restarting, wait until the container is running")
        if state.status != RUNNING:
            raise NotRunning(identifier)
        group, config = group_of(store, identifier), store.config(identifier)
        # Written first: what stands still and is not known to be paused, nobody lets go on.
        store.write_state(config, replace(state, status=PAUSED, pauser=pauser))
        try:
            freezer.freeze(group)
        except BaseException:
            store.note_state(config, state)
            raise
    events.tell(store, config, "pause")
    return identifier


def unpause(store: Store, word: str) -> str:
    """Let them go on."""
    identifier = store.find(word)
    if not _thaw(store, identifier):
        raise Conflict(f"Container {identifier} is not paused")
    return identifier


def _thaw(store: Store, identifier: str) -> bool:
    """Let it go on, if it is paused or stands still without anybody's knowing; False if not."""
    from mydocker.cgroups import freezer
    from mydocker.engine.groups import group_part

    with changing(store, identifier) as (_, state):
        part = group_part(store, identifier) if state.up else None
        if part is None or not (state.status == PAUSED or freezer.frozen(part.group())):
            return False
        freezer.thaw(part.group())
        config = store.known(identifier)
        store.note_state(config, replace(state, status=RUNNING, pauser=NOBODY))
    events.tell(store, config, "unpause")
    return True


def wait(store: Store, word: str) -> int:
    """Wait until it does not run; its exit code."""
    identifier = store.find(word)
    while look(store, identifier).active:
        socket = connection.connect(store, identifier)
        if socket is None:
            time.sleep(0.01)  # it is about to end, or its monitor was killed
            continue
        with closing(socket):
            if ended := connection.wait_end(socket):
                return ended.exit_code
        if _stuck(store, identifier):
            _by_force(store, identifier)
    return look(store, identifier).exit_code


def attended(store: Store, identifier: str) -> Callable[[], bool]:
    """A question for who is attached and hears nothing: False if nobody will say anything more.

    Asking wakes a monitor that somebody has stopped.
    """
    silences = 0

    def ask() -> bool:
        nonlocal silences
        try:
            look(store, identifier)
        except Failure:
            return True  # gone: its last words are on their way
        silences = silences + 1 if _stuck(store, identifier) else 0
        return silences < _SILENCES

    return ask


def rename(store: Store, word: str, name: str) -> str:
    """Give it another name."""
    identifier = store.find(word)
    bare = names.check(name)
    with changing(store, identifier) as (_, state):
        config = store.config(identifier)
        if config.name == bare:
            raise Invalid("Renaming a container with the same name as its current name")
        store.rename(replace(config, name=bare), config.name)
    if state.up:
        _rename_endpoints(store, identifier, bare)
    events.tell(store, replace(config, name=bare), "rename", oldName=f"/{config.name}")
    return identifier


def _rename_endpoints(store: Store, identifier: str, name: str) -> None:
    """Other containers find it by its new name."""
    from mydocker.network import dns
    from mydocker.network.store import Store as Networks

    networks = Networks(store.root, store.run)
    with networks.lock():
        attached = networks.attached(identifier)
        for _, endpoint in attached:
            networks.put(replace(endpoint, name=name))
        if any(not network.default for network, _ in attached):
            dns.look(networks)


def update(
    store: Store, word: str, limits: Mapping[str, Any], restart_policy: Restart | None = None
) -> str:
    """Change the limits named in ``limits``, at once if it runs, and the restart policy.

    None as the value of one takes it away.
    """
    identifier = store.find(word)
    with changing(store, identifier) as (_, state):
        config = store.config(identifier)
        if restart_policy is not None and config.auto_remove and restart_policy.policy != "no":
            raise Conflict("Restart policy cannot be updated because AutoRemove is enabled for the "
                           "container")  # fmt: skip
        whole = config.limits.changed(limits) if limits else config.limits
        if limits and state.up:
            _apply(store, identifier, config.limits, whole)
        config = replace(config, limits=whole, restart=restart_policy or config.restart)
        store.write_config(config)
    events.tell(store, config, "update")
    return identifier


def _apply(store: Store, identifier: str, before: Limits, now: Limits) -> None:
    from mydocker.cgroups import changing
    from mydocker.cgroups.part import own_parent
    from mydocker.engine.groups import group_of

    changing.change(group_of(store, identifier), before, now, own_parent())


def attachable(store: Store, word: str) -> str:
    """The id of a container that one can attach to. Raises Conflict for all others."""
    identifier = store.find(word)
    state = look(store, identifier)
    if state.status == PAUSED:
        raise Conflict("You cannot attach to a paused container, unpause it first")
    if state.status == RESTARTING:
        raise Conflict("You cannot attach to a restarting container, wait until it is running")
    if not state.up:
        raise Conflict("You cannot attach to a stopped container, start it first")
    return identifier

"""The monitor of a container: it starts it, stays beside it, and cleans up after it.

One process for each running container, forked from the program that starts it and independent of
that from then on: it is the parent of the container's first process, so that it learns of its end
and its exit code, and if it is killed, the kernel kills the container (PR_SET_PDEATHSIG). It owns
the log and the terminal, obeys the restart policy, and releases the parts. Most of its life it is
nothing but the loop in ``supervisor``.

Towards the program that starts it, it speaks on a socket pair: first JSON messages, as the
container's side does towards the host's (``container.channel``), ``event`` and ``error``, and
``started``. From then on the pair is a client's socket as any other, in the words of
``supervisor``.
"""

import _socket
import json
import os
import signal
import sys
from typing import Any, NoReturn

from mydocker.container import private
from mydocker.container import state as records
from mydocker.container.channel import error_message, error_of, event_message, event_of
from mydocker.container.parts import Part, rebuilt
from mydocker.container.processes import identify, myself
from mydocker.container.running import Container, Ended, release_all
from mydocker.engine import events
from mydocker.engine.config import Config, Restart
from mydocker.engine.state import CREATED, EXITED, NOBODY, RESTARTING, RUNNING, State, boot_id
from mydocker.engine.store import Store
from mydocker.engine.supervisor import READS, SLIM_AFTER, TYPES, Client, Supervisor
from mydocker.engine.times import NEVER, now, number
from mydocker.kernel import syscalls, trace
from mydocker.kernel.errors import Failure
from mydocker.kernel.records import replace

_MESSAGE = 1 << 17
_OPEN_FILES = 1 << 20  # no process has more (fs.nr_open)
_SHORTEST, _LONGEST, _SETTLED = 0.1, 60.0, 10.0  # seconds: waits before restarts, and a good run


def launch(
    store: Store, config: Config, lock: int, *, types: bool = False, reads: bool = False
) -> _socket.socket:
    """Start a container with a monitor of its own. Raises Failure if it cannot be started.

    ``lock`` is the descriptor of the container's lock, which the caller holds and lets go
    afterwards. The socket is a client's, who ``types`` and ``reads``; the caller closes it.
    """
    kind = _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, kind)
    flags = (TYPES if types else 0) | (READS if reads else 0)
    pid = syscalls.fork(why="a monitor: it stays beside the container when we have gone")
    if pid == 0:
        try:
            ours.close()
            _be_monitor(store, config, lock, theirs, flags)
        finally:
            os._exit(1)
    theirs.close()
    try:
        hear(ours)
    except BaseException:
        ours.close()
        raise
    return ours


def hear(ours: _socket.socket) -> None:
    """Hear what the monitor says until the container runs."""
    while True:
        data = ours.recv(_MESSAGE)
        if not data:
            raise Failure("the monitor of the container was killed", "Clean up: system prune")
        message = json.loads(data)
        if "event" in message:
            trace.relay(event_of(message))
        elif "error" in message:
            raise error_of(message)
        else:
            return


# ---------------------------------------------------------------- the monitor's side


def _be_monitor(
    store: Store, config: Config, lock: int, socket: _socket.socket, flags: int
) -> NoReturn:
    _detach(lock, socket.fileno())
    client = Client(socket, flags)
    if trace.observed():
        trace.report_to(lambda event: say(socket, event_message(event)))
    try:
        listener = _listen(store, config.id)
        container, facts = _start(store, config, listener)
    except BaseException as error:
        say(socket, error_message(error))
        store.forget_socket(config.id)
        os._exit(1)
    os.close(lock)
    say(socket, {"started": container.pid})
    supervisor = Supervisor(facts, [client])
    if trace.observed():
        packet = json.dumps
        trace.report_to(
            lambda event: supervisor.send(client, b"t" + packet(event_message(event)).encode())
        )
        go_on(supervisor, _waited(supervisor), container)
    status = supervisor.watch(SLIM_AFTER)
    if status is None:
        supervisor.become_slim()
    assert status is not None
    go_on(supervisor, status, container)


def _waited(supervisor: Supervisor) -> int:
    status = supervisor.watch()
    assert status is not None
    return status


def say(socket: _socket.socket, message: dict[str, Any]) -> None:
    """Tell who started us something, a monitor's words before ``started``."""
    try:
        socket.send(json.dumps(message).encode()[:_MESSAGE], _socket.MSG_NOSIGNAL)
    except OSError:
        return  # who started us has gone; the container starts all the same


def _detach(*kept: int) -> None:
    """Leave all that belongs to the program that started us: its session, files and directory."""
    os.setsid()
    for one in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(one, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    close_all_but(*kept)
    os.chdir("/")


def close_all_but(*kept: int) -> None:
    """Close every descriptor but the standard ones and ``kept``, of which -1 is none.

    A pipe that we kept open would let `mydocker run -d … | cat` wait for our end.
    """
    first = 3
    for fd in sorted(kept):
        if fd > first:
            syscalls.close_range(first, fd - 1, 0)
        first = max(first, fd + 1)
    syscalls.close_range(first, _OPEN_FILES, 0)


def _listen(store: Store, identifier: str) -> _socket.socket:
    private.make(store.run, "monitors", mode=private.DIRECTORY)
    store.forget_socket(identifier)
    socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
    # A path of a socket has at most 107 bytes (unix(7)); by a descriptor it is short.
    directory = os.open(store.monitors, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    os.fchmod(socket.fileno(), private.FILE)  # what bind(2) makes has this mode
    try:
        socket.bind(f"/proc/self/fd/{directory}/{identifier}")
    finally:
        os.close(directory)
    socket.listen(64)
    socket.setblocking(False)
    return socket


def _start(
    store: Store, config: Config, listener: _socket.socket | None
) -> tuple[Container, dict[str, Any]]:
    """Start the container; its state is written. Raises Failure. Holds the container's lock."""
    from mydocker.engine import assembly  # late: a monitor at its end needs none of that

    state = store.state(config.id)
    if listener is not None:  # somebody asked for it, and it is not the restart policy
        state = replace(state, restart_count=0, stopped=False)
    try:
        flags, parts = assembly.parts_of(store, config)
        process = assembly.process_of(config)
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
    events.tell(store, config, "start")


def _note_failure(store: Store, config: Config, state: State, error: BaseException) -> None:
    code = error.exit_code if isinstance(error, Failure) else 128
    status = CREATED if state.started == NEVER else EXITED
    failed = replace(
        state, status=status, process=NOBODY, monitor=NOBODY, exit_code=code, error=str(error)
    )
    store.write_state(config, failed)


def _streams(config: Config) -> dict[str, int]:
    """Make our standard streams what the container's shall be; the other ends of the pipes.

    With a terminal they stay the reader's for the moment: the new terminal gets their size.
    """
    ends = {"out": -1, "err": -1, "input": -1}
    if config.terminal:
        return ends
    for name, fd in (("out", 1), ("err", 2)):
        ends[name], theirs = os.pipe2(os.O_CLOEXEC)
        os.dup2(theirs, fd)
        os.close(theirs)
    if config.input:
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
    }


# ---------------------------------------------------------------- the container ended


def go_on(supervisor: Supervisor, status: int, container: Container | None = None) -> NoReturn:
    """The container's process ended: clean up, start it again or not, and at last end too."""
    store = Store(supervisor.facts["root"], supervisor.facts["run"])
    while True:
        config = store.config(supervisor.facts["id"])
        ended = _ended(store, supervisor, status, container)
        if not _again(store, config, supervisor, ended):
            break
        container = None
        started = _restart(store, supervisor)
        if started is None:
            break
        container = started
        status = _watch_again(supervisor)
    _finish(store, config, supervisor, ended)


def _watch_again(supervisor: Supervisor) -> int:
    status = supervisor.watch(SLIM_AFTER)
    if status is None:
        supervisor.become_slim()
    assert status is not None
    return status


def _ended(store: Store, supervisor: Supervisor, status: int, container: Container | None) -> Ended:
    """Write the log's end, release the parts; how it ended."""
    facts = supervisor.facts
    if supervisor.log is not None:
        supervisor.log.finish()
    for name in ("pidfd", "master", "out", "err", "input"):
        if facts[name] >= 0:
            os.close(facts[name])
            facts[name] = -1
    facts["pending"], facts["ending"] = b"", False
    code = os.waitstatus_to_exitcode(status)
    parts = container.parts if container else _parts(store, facts["id"])
    remarks = tuple(remark for part in parts if (remark := part.epitaph()))
    if container is None:
        for fd in facts["kept"]:
            os.close(fd)
    facts["kept"] = []
    if not release_all(parts) or not release_all(parts):
        records.remove(store.run, facts["id"])
    return Ended(code if code >= 0 else 128 - code, remarks)


def _parts(store: Store, identifier: str) -> list[Part]:
    record = records.read(store.run, identifier)
    return rebuilt(record.parts) if record else []


def _again(store: Store, config: Config, supervisor: Supervisor, ended: Ended) -> bool:
    """Write the end down; True after the wait before the next start."""
    facts = supervisor.facts
    with store.lock(config.id):
        config = store.config(config.id)  # its restart policy may be new
        state = store.state(config.id)
        ran = (number(now()) - number(state.started)) / 1e9
        wait = next_start(config.restart, state, ended.exit_code, ran, facts["wait"])
        again = wait is not None and not supervisor.stopped
        state = replace(
            state,
            status=RESTARTING if again else EXITED,
            process=NOBODY,
            monitor=myself() if again else NOBODY,
            exit_code=ended.exit_code,
            oom_killed=any("out of memory" in remark for remark in ended.remarks),
            finished=now(),
            restart_count=state.restart_count + again,
        )
        if not (config.auto_remove and not again):
            store.write_state(config, state)
        events.tell(store, config, "die", exitCode=str(ended.exit_code))
    if wait is None or not again:
        return False
    facts["wait"] = wait
    return not supervisor.wait_for_stop(wait)


def next_start(restart: Restart, state: State, code: int, ran: float, last: float) -> float | None:
    """Seconds until a container that ended is started again; None: its policy does not want that.

    ``code`` is its exit code, ``ran`` how many seconds it ran, ``last`` the wait before that, 0 if
    there was none. One that ends again and again must not keep the machine busy: each wait is twice
    the last, until it has run for a while.
    """
    # lab 5.3: start it again?
    if state.stopped or restart.policy == "no":
        return None
    tried = restart.retries and state.restart_count >= restart.retries
    if restart.policy == "on-failure" and (code == 0 or tried):
        return None
    if last == 0 or ran > _SETTLED:
        return _SHORTEST
    return min(last * 2, _LONGEST)
    # end lab


def _restart(store: Store, supervisor: Supervisor) -> Container | None:
    """Start it once more in this process; None if that failed, or is not wanted any more."""
    facts = supervisor.facts
    with store.lock(facts["id"]):
        config, state = store.config(facts["id"]), store.state(facts["id"])
        if state.stopped:
            return None
        try:
            container, fresh = _start(store, config, None)
        except Failure:
            return None
    for name in ("listener", "wait"):
        fresh[name] = facts[name]
    supervisor.facts = fresh
    supervisor.begin()
    return container


def _finish(store: Store, config: Config, supervisor: Supervisor, ended: Ended) -> NoReturn:
    """For good: remove it if it is to be removed, tell everybody, and end."""
    from mydocker.engine.errors import NoSuchContainer

    remarks = list(ended.remarks)
    try:
        with store.lock(config.id):
            config, state = store.config(config.id), store.state(config.id)
            # Since the end was written down, somebody may have started it: it has a new monitor
            # then, whose state and socket are not ours to touch.
            ours = state.monitor == myself()
            if ours or not state.active:
                store.forget_socket(config.id)
            if ours and config.auto_remove:
                remarks += _removed(store, config, state)
            elif ours:
                ending = replace(state, status=EXITED, process=NOBODY, monitor=NOBODY)
                store.write_state(config, replace(ending, exit_code=ended.exit_code))
    except NoSuchContainer:
        pass
    said = "\n".join([str(ended.exit_code), *remarks])
    supervisor.tell_all(b"x" + said.encode())
    os._exit(0)


def _removed(store: Store, config: Config, state: State) -> list[str]:
    """Remove one with ``--rm``; what to say if that fails."""
    from mydocker.engine.removal import forget

    try:
        forget(store, config)
    except Failure as failure:
        if os.path.isdir(store.directory(config.id)):
            ending = replace(state, status=EXITED, process=NOBODY, monitor=NOBODY)
            store.write_state(config, ending)  # so that `system prune` finds it
        return [f"not removed: {failure}. Clean up: mydocker system prune"]
    return []

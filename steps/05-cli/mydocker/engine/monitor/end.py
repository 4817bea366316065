"""The end of a container, as its monitor sees to it: cleaned up, started again, or removed."""

import os
from typing import NoReturn

from mydocker.container import state as records
from mydocker.container.parts import Part, rebuilt
from mydocker.container.processes import myself
from mydocker.container.running import Container, Ended, release_all
from mydocker.engine.errors import NoSuchContainer
from mydocker.engine.monitor.supervisor import SLIM_AFTER, Supervisor
from mydocker.engine.records import events
from mydocker.engine.records.config import Config, Restart
from mydocker.engine.records.state import (
    EXITED,
    NOBODY,
    RESTARTING,
    State,
)
from mydocker.engine.records.store import Store
from mydocker.engine.words.times import now, number
from mydocker.kernel.errors import Failure
from mydocker.kernel.records import replace
from mydocker.kernel.whole import Damaged

_SHORTEST, _LONGEST, _SETTLED = 0.1, 60.0, 10.0  # seconds: waits before restarts, and a good run


def go_on(supervisor: Supervisor, status: int, container: Container | None = None) -> NoReturn:
    """The container's process ended: clean up, start it again or not, and at last end too."""
    store = Store(supervisor.facts["root"], supervisor.facts["run"])
    while True:
        ended = _ended(store, supervisor, status, container)
        try:
            if not _again(store, supervisor, ended):
                break
        except NoSuchContainer:  # somebody removed its directory
            break
        container = None
        started = _restart(store, supervisor)
        if started is None:
            break
        container = started
        status = _watch_again(supervisor)
    _finish(store, supervisor, ended)


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
    try:
        record = records.read(store.run, identifier)
        return rebuilt(record.parts) if record else []
    except Failure:  # damaged
        from mydocker.engine import evidence

        return evidence.parts_of(store, identifier)


def _again(store: Store, supervisor: Supervisor, ended: Ended) -> bool:
    """Write the end down; True after the wait before the next start."""
    facts = supervisor.facts
    with store.lock(facts["id"]):
        config, state = store.known(facts["id"]), store.state(facts["id"])
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
            store.note_state(config, state)
        events.tell_end(store, config, ended.exit_code, state.oom_killed)
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
    try:
        with store.lock(facts["id"]):
            if store.state(facts["id"]).stopped:
                return None
            from mydocker.engine.monitor.start import start  # which few ends need

            container, fresh = start(store, store.config(facts["id"]), None)
    except Failure:
        return None
    for name in ("listener", "wait"):
        fresh[name] = facts[name]
    supervisor.facts = fresh
    supervisor.begin()
    return container


def _finish(store: Store, supervisor: Supervisor, ended: Ended) -> NoReturn:
    """For good: remove it if it is to be removed, tell everybody, and end."""
    remarks, identifier = list(ended.remarks), supervisor.facts["id"]
    try:
        with store.lock(identifier):
            config, state = store.known(identifier), store.state(identifier)
            # Since the end was written down, somebody may have started it: it has a new monitor
            # then, whose state and socket are not ours to touch.
            ours = state.monitor == myself() or _damaged(store, identifier)
            if ours or not state.active:
                store.forget_socket(identifier)
            if ours and config.auto_remove:
                remarks += _removed(store, config, state)
            elif ours:
                ending = replace(state, status=EXITED, process=NOBODY, monitor=NOBODY)
                store.note_state(config, replace(ending, exit_code=ended.exit_code))
    except NoSuchContainer:
        pass
    said = "\n".join([str(ended.exit_code), *remarks])
    supervisor.tell_all(b"x" + said.encode())
    os._exit(0)


def _damaged(store: Store, identifier: str) -> bool:
    """Can its state not be read? Then nobody has started it since."""
    try:
        store.written(identifier)
    except Damaged:
        return True
    return False


def _removed(store: Store, config: Config, state: State) -> list[str]:
    """Remove one with ``--rm``; what to say if that fails."""
    from mydocker.engine.forgetting import forget

    try:
        forget(store, config)
    except Failure as failure:
        if os.path.isdir(store.directory(config.id)):
            ending = replace(state, status=EXITED, process=NOBODY, monitor=NOBODY)
            store.note_state(config, ending)  # so that `system prune` finds it
        return [f"not removed: {failure}. Clean up: mydocker system prune"]
    return []

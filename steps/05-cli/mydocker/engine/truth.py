"""The state of a container as it is, whatever its file says.

A file cannot notice that the monitor was killed, or the machine switched off. Whoever looks at a
container looks here: if its monitor is gone, what it left behind is released, and the state is made
true again.
"""

from mydocker.container import state as records
from mydocker.container.leftovers import release
from mydocker.engine import events
from mydocker.engine.config import Config
from mydocker.engine.errors import NoSuchContainer
from mydocker.engine.state import (
    DEAD,
    EXITED,
    NOBODY,
    PAUSED,
    REMOVING,
    RESTARTING,
    RUNNING,
    State,
    boot_id,
)
from mydocker.engine.store import Store
from mydocker.engine.times import now
from mydocker.kernel.errors import Failure
from mydocker.kernel.records import replace

KILLED = 137


def look(store: Store, identifier: str) -> State:
    """The state of a container. Raises NoSuchContainer; mends what a killed monitor left.

    Do not call it with the container's lock held: see :func:`look_locked`.
    """
    state = store.state(identifier)
    if _true(state):
        return state
    try:
        with store.lock(identifier):
            return look_locked(store, identifier)
    except NoSuchContainer:
        if state.active:
            raise
        return state


def _true(state: State) -> bool:
    return state.status != REMOVING and (not state.active or _watched(state))


def _watched(state: State) -> bool:
    """Its monitor lives, and not just another process of an earlier boot's number."""
    return state.monitor.alive() and (not state.boot or state.boot == boot_id())


def look_locked(store: Store, identifier: str) -> State:
    """As :func:`look`, for whoever holds the lock."""
    state = store.state(identifier)
    if _true(state):
        return state
    config = store.config(identifier)
    if state.status == REMOVING:  # whoever removed it was killed, for we have the lock
        state = replace(state, status=DEAD)
        store.write_state(config, state)
        return state
    return _mend(store, config, state)


def _mend(store: Store, config: Config, state: State) -> State:
    """The monitor was killed: release the parts of the container and write down its end.

    One with ``--rm`` goes now, as its monitor would have seen to it: NoSuchContainer.
    """
    store.forget_socket(config.id)
    failures: list[Failure] = []
    if records.read(store.run, config.id) is not None:
        failures = release(store.run, config.id)
    state = replace(
        state,
        status=DEAD if failures else EXITED,
        process=NOBODY,
        monitor=NOBODY,
        exit_code=KILLED if state.status in (RUNNING, PAUSED) else state.exit_code,
        error=str(failures[0]) if failures else "its monitor was killed",
        finished=now(),
    )
    store.write_state(config, state)
    if state.status != RESTARTING:
        events.tell(store, config, "die", exitCode=str(state.exit_code))
    if config.auto_remove and not failures:
        from mydocker.engine.removal import forget  # which looks here

        forget(store, config)
        raise NoSuchContainer(config.short_id)
    return state

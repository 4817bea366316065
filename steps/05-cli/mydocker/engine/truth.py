"""The state of a container as it is, whatever its file says.

A file cannot notice that the monitor was killed, or the machine switched off, and it can be
damaged. Whoever looks at a container looks here: if its monitor is gone, what it left behind is
released, and the state is made true again. Whoever changes a container begins with that
(:func:`changing`): what somebody left who died on the way never stands in the way of the next.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from mydocker.container import state as records
from mydocker.engine.errors import NoSuchContainer
from mydocker.engine.records import events
from mydocker.engine.records.config import Config
from mydocker.engine.records.state import (
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
from mydocker.engine.records.store import Store
from mydocker.engine.words.times import now
from mydocker.kernel import signals
from mydocker.kernel.errors import Conflict, Failure
from mydocker.kernel.records import replace
from mydocker.kernel.whole import Damaged
from mydocker.namespaces.sharing import Find, Shared

KILLED = 137


def look(store: Store, identifier: str) -> State:
    """The state of a container. Raises NoSuchContainer; mends what a killed monitor left.

    Do not call it with the container's lock held: see :func:`look_locked`.
    """
    try:
        state = store.written(identifier)
    except Damaged:
        state = None
    if state is not None and _true(state):
        return _as_frozen(store, identifier, state)
    if state is None and not store.traces(identifier):  # nobody has ever started it
        return store.state(identifier)
    try:
        with store.lock(identifier, wait=state is not None):
            return look_locked(store, identifier)
    except BlockingIOError:  # somebody starts it just now
        return store.state(identifier)
    except NoSuchContainer:
        if state is None or state.active:
            raise
        return state


@contextmanager
def changing(store: Store, identifier: str) -> Iterator[tuple[int, State]]:
    """Nobody else changes this container meanwhile, and nothing of a dead predecessor is left.

    Gives the descriptor that holds the lock, and the state. Raises NoSuchContainer.
    """
    signals.collect()
    with store.lock(identifier) as lock:
        yield lock, look_locked(store, identifier)


def _true(state: State) -> bool:
    if state.status == PAUSED and state.pauser != NOBODY and not state.pauser.alive():
        return False
    return state.status != REMOVING and (not state.active or watched(state))


def watched(state: State) -> bool:
    """Its monitor lives, and not just another process of an earlier boot's number.

    One that was stopped goes on from now: it may have to see to an end.
    """
    monitor = state.monitor
    running = monitor.awake() or (monitor.alive() and not monitor.doomed())
    return running and (not state.boot or state.boot == boot_id())


def look_locked(store: Store, identifier: str) -> State:
    """As :func:`look`, for whoever holds the lock; releases what a killed start left, too."""
    state = _told(store, identifier)
    if state.active and watched(state):
        paused = _true(state)
        return _as_frozen(store, identifier, state) if paused else _go_on(store, identifier, state)
    config = store.known(identifier)
    if state.active:
        return _mend(store, config, state)
    if state.status == REMOVING:  # whoever removed it was killed, for we have the lock
        state = replace(state, status=DEAD)
        store.note_state(config, state)
    return _release_the_dead(store, config, state)


def _told(store: Store, identifier: str) -> State:
    """What its file says. If that cannot be read, or is not there, what the kernel says."""
    damage = ""
    try:
        state = store.written(identifier)
    except Damaged as error:
        state, damage = None, error.message
    if state is not None:
        return state
    if store.traces(identifier):
        from mydocker.engine import evidence

        if found := evidence.recall(store, identifier):
            store.note_state(store.known(identifier), found)
            return found
    return State(DEAD, error=damage) if damage else State()


def _release_the_dead(store: Store, config: Config, state: State) -> State:
    """It does not run, as all know. But whoever was about to start it may have been killed."""
    try:
        record = records.read(store.run, config.id)
        if record is None or record.owner.alive():
            return state
    except Damaged:
        from mydocker.engine import evidence

        if evidence.monitor_of(store, config.id).alive():
            return state
    from mydocker.engine import evidence

    store.forget_socket(config.id)
    failures = evidence.release(store, config.id)
    if not failures and state.status != DEAD:
        return state
    status = DEAD if failures or state.error == "" else EXITED
    state = replace(state, status=status, error=str(failures[0]) if failures else "")
    store.note_state(config, state)
    return state


def _as_frozen(store: Store, identifier: str, state: State) -> State:
    """Paused is what stands still: who let it go on may have found the disk full."""
    if state.status != PAUSED:
        return state
    from mydocker.cgroups import freezer
    from mydocker.engine.groups import group_part

    part = group_part(store, identifier)
    if part is None or freezer.frozen(part.group()):
        return state
    return replace(state, status=RUNNING, pauser=NOBODY)


def _go_on(store: Store, identifier: str, state: State) -> State:
    """Who paused it for a moment was killed: the moment is over."""
    from mydocker.cgroups import freezer
    from mydocker.engine.groups import group_of

    freezer.thaw(group_of(store, identifier))
    state = replace(state, status=RUNNING, pauser=NOBODY)
    config = store.known(identifier)
    store.note_state(config, state)
    events.tell(store, config, "unpause")
    return state


def _mend(store: Store, config: Config, state: State) -> State:
    """The monitor was killed: release the parts of the container and write down its end.

    One with ``--rm`` goes now, as its monitor would have seen to it: NoSuchContainer.
    """
    from mydocker.engine import evidence

    store.forget_socket(config.id)
    failures: list[Failure] = []
    if store.traces(config.id):
        failures = evidence.release(store, config.id)
    state = replace(
        state,
        status=DEAD if failures else EXITED,
        process=NOBODY,
        monitor=NOBODY,
        pauser=NOBODY,
        exit_code=KILLED if state.status in (RUNNING, PAUSED) else state.exit_code,
        error=str(failures[0]) if failures else "its monitor was killed",
        finished=now(),
    )
    store.note_state(config, state)
    if state.status != RESTARTING:
        events.tell_end(store, config, state.exit_code)
    if config.auto_remove and not failures:
        from mydocker.engine.forgetting import forget

        forget(store, config)
        raise NoSuchContainer(config.short_id)
    return state


def finder(store: Store) -> Find:
    """For ``--net container:NAME`` and its like: finds a container that runs."""

    def find(word: str) -> Shared:
        identifier = store.find(word)
        state = look(store, identifier)
        if not state.up:
            raise Conflict(f"cannot join the namespaces of a non running container: {identifier}")
        return Shared(store.config(identifier).name, state.process, store.directory(identifier))

    return find

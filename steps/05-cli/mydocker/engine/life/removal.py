"""``rm``: a container goes, with its layer, its log and its name."""

from contextlib import suppress

from mydocker.engine.errors import NoSuchContainer
from mydocker.engine.forgetting import forget
from mydocker.engine.records import events
from mydocker.engine.records.state import CREATED, DEAD, EXITED, REMOVING
from mydocker.engine.records.store import Store
from mydocker.engine.words.filters import Filters, passes
from mydocker.kernel.errors import Conflict
from mydocker.kernel.records import replace
from mydocker.kernel.whole import NotWritten
from mydocker.overlay2.layers import LayerStore


def remove(store: Store, word: str, *, force: bool = False, volumes: bool = False) -> str:
    """Remove a container; one that runs only with ``force``, which kills it. Its id.

    ``volumes``: its anonymous volumes too.

    Raises NoSuchContainer, or Conflict for one that runs.
    """
    from mydocker.engine.truth import changing

    identifier = store.find(word)
    try:
        if force:
            from mydocker.engine.life.lifecycle import end

            # Again, if another was just starting it: with the lock we know that it has finished
            while _active(store, identifier):
                end(store, identifier)
        with changing(store, identifier) as (_, state):
            if state.status not in (CREATED, EXITED, DEAD):
                raise Conflict(
                    f"You cannot remove a {state.status} container {identifier}",
                    "Stop the container before attempting removal or force remove",
                )
            config = store.known(identifier)
            with suppress(NotWritten):  # on a full disk: what goes makes room
                store.write_state(config, replace(state, status=REMOVING))
            forget(store, config, volumes=volumes)
    except NoSuchContainer:
        if not force:
            raise
    return identifier


def _active(store: Store, identifier: str) -> bool:
    from mydocker.engine.truth import changing, look

    if look(store, identifier).active:
        return True
    with changing(store, identifier) as (_, state):
        return state.active


def prune(store: Store, filters: Filters) -> tuple[list[str], int]:
    """Remove all containers that do not run and pass the filters: ``(their ids, bytes freed)``."""
    from mydocker.engine.trees.disk import disk_use
    from mydocker.engine.truth import look

    removed, space = [], 0
    for identifier in store.ids():
        try:
            state, config = look(store, identifier), store.known(identifier)
            if state.status not in (CREATED, EXITED, DEAD):
                continue
            if not passes(filters, config.created, config.labels):
                continue
            size = disk_use(LayerStore(store.root).layer(identifier).diff)
            remove(store, identifier)
        except (NoSuchContainer, Conflict):
            continue  # started or removed just now
        removed.append(identifier)
        space += size
    events.tell_prune(store, "container", space)
    return removed, space

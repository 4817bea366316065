"""A container that does not run goes: its layer, its log, its name, its anonymous volumes.

This is the deed alone. Who may do it, and when, is said where it is done: ``life.removal`` for
``rm``, ``monitor`` for the end of one with ``--rm``, ``truth`` for what a killed monitor left.
"""

from mydocker.engine.records import events
from mydocker.engine.records.config import Config
from mydocker.engine.records.store import Store
from mydocker.overlay2.layers import LayerStore


def forget(store: Store, config: Config, *, volumes: bool = False) -> None:
    """Remove what there is of a container that does not run. The caller holds its lock.

    The anonymous volumes of one with ``--rm`` go with it, of others with ``volumes``.
    """
    # The layer first: as long as the container is listed, it can be removed again.
    LayerStore(store.root).remove(config.id)
    store.remove(config.id, config.name)
    if (volumes or config.auto_remove) and config.points:
        from mydocker.engine.volumes.removing import remove_anonymous

        remove_anonymous(store, config)
    events.tell(store, config, "destroy")

"""How much a container takes of the disk: what it wrote, and that with its image."""

from mydocker.engine.records.config import Config
from mydocker.engine.records.store import Store
from mydocker.kernel.errors import Failure
from mydocker.overlay2 import digest
from mydocker.overlay2.diff import contents
from mydocker.overlay2.layerdb import LayerDB
from mydocker.overlay2.layers import LayerStore


def sizes(store: Store, config: Config) -> tuple[int, int]:
    """``(bytes of its own layer, bytes of all layers)``."""
    layers, database = LayerStore(store.root), LayerDB(store.root)
    try:
        own = contents(layers.layer(config.id).diff).size
    except (OSError, Failure):
        own = 0  # not started yet
    return own, own + sum(database.size(chain) for chain in digest.chain_ids(config.diff_ids))

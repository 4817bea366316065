"""``system prune``: what users made and nobody needs any more.

First what would go is listed, then it goes, kind by kind, and each kind looks again before it
removes: what came into use meanwhile stays. (What killed commands left is another matter, and no
user's: see ``pruning``.)
"""

from mydocker.engine.filters import Filters
from mydocker.engine.images import pruning as images
from mydocker.engine.state import CREATED, DEAD, EXITED
from mydocker.engine.store import Store
from mydocker.engine.truth import look
from mydocker.engine.volumes import removing as volumes
from mydocker.kernel.errors import Failure
from mydocker.kernel.records import record
from mydocker.network import networks
from mydocker.network.store import Store as Networks

FILTERS = ("until", "label", "label!")


@record
class Wish:
    """How far to go: ``every`` image that no container needs, ``volumes`` too; only what passes."""

    every: bool = False
    volumes: bool = False
    chosen: Filters | None = None


@record
class Cleaned:
    """What went, by its kind; the bytes that are free again."""

    kinds: tuple[tuple[str, tuple[str, ...]], ...]
    space: int


def candidates(store: Store, wish: Wish) -> list[str]:
    """A line for each kind of which there is something to remove."""
    stopped = _stopped(store)
    found = {
        "stopped containers": len(stopped),
        "networks not used by at least one container": 0 if wish.chosen else len(_idle(store)),
        (
            "images without at least one container associated to them"
            if wish.every
            else "dangling images"
        ): len(images.unused(store, every=wish.every, chosen=wish.chosen, without=stopped)),
        "anonymous volumes not used by at least one container": (
            len(volumes.unused(store, chosen=_labels(wish), without=stopped)) if wish.volumes else 0
        ),
    }
    return [f"all {kind} ({count})" for kind, count in found.items() if count]


def _stopped(store: Store) -> set[str]:
    found = set()
    for identifier in store.ids():
        try:
            status, config = look(store, identifier).status, store.config(identifier)
        except Failure:
            continue
        # One with --rm that does not run is about to start, or about to go by itself.
        if status in (CREATED, EXITED, DEAD) and not config.auto_remove:
            found.add(identifier)
    return found


def _idle(store: Store) -> list[str]:
    known = Networks(store.root, store.run)
    return [n.name for n in known.networks() if not n.default and not known.endpoints(n)]


def _labels(wish: Wish) -> Filters:
    """A volume has labels and no time that matters."""
    return {key: values for key, values in (wish.chosen or {}).items() if key != "until"}


def clean(store: Store, wish: Wish) -> Cleaned:
    """Remove it. Containers go first: then their images and volumes are unused, too."""
    from mydocker.engine import removal

    containers, space = removal.prune(store, wish.chosen or {})
    kinds = [("Containers", tuple(containers))]
    if wish.volumes:
        names, size = volumes.prune(store, chosen=_labels(wish))
        kinds.append(("Volumes", tuple(names)))
        space += size
    if not wish.chosen and _idle(store):
        removed = networks.prune(Networks(store.root, store.run))
        kinds.append(("Networks", tuple(network.name for network in removed)))
    pruned = images.prune(store, every=wish.every, chosen=wish.chosen)
    kinds.append(("Images", tuple(line[0].lower() + line[1:] for line in pruned.said)))
    return Cleaned(tuple((kind, names) for kind, names in kinds if names), space + pruned.space)

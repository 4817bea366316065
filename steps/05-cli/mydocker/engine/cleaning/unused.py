"""``system prune``: what users made and nobody needs any more.

First what would go is listed, then it goes, kind by kind, and each kind looks again before it
removes: what came into use meanwhile stays. (What killed commands left is another matter, and no
user's: see ``pruning``.)
"""

from mydocker.engine.images import unused as images
from mydocker.engine.records.state import CREATED, DEAD, EXITED
from mydocker.engine.records.store import Store
from mydocker.engine.truth import look
from mydocker.engine.volumes import removing as volumes
from mydocker.engine.words.filters import Filters, passes
from mydocker.kernel.errors import Conflict, Failure
from mydocker.kernel.records import record
from mydocker.network import networks
from mydocker.network.store import Store as Networks


@record
class Wish:
    """How far to go: ``every`` image that no container needs, ``volumes`` too; only what passes."""

    every: bool
    volumes: bool
    chosen: Filters


@record
class Cleaned:
    """What went, by its kind; the bytes that are free again; what could not be looked at."""

    kinds: tuple[tuple[str, tuple[str, ...]], ...]
    space: int
    failures: tuple[Failure, ...] = ()


def candidates(store: Store, wish: Wish) -> list[str]:
    """A line for each kind of which there is something to remove."""
    stopped = _stopped(store, wish.chosen)
    found = {
        "stopped containers": len(stopped),
        "networks not used by at least one container": len(_idle(store, wish.chosen)),
        (
            "images without at least one container associated to them"
            if wish.every
            else "dangling images"
        ): len(images.unused(store, every=wish.every, chosen=wish.chosen, without=stopped)),
        "anonymous volumes not used by at least one container": (
            len(volumes.unused(store, chosen=wish.chosen, without=stopped)) if wish.volumes else 0
        ),
    }
    return [f"all {kind} ({count})" for kind, count in found.items() if count]


def _stopped(store: Store, chosen: Filters) -> set[str]:
    found = set()
    for identifier in store.ids():
        try:
            status, config = look(store, identifier).status, store.known(identifier)
        except Failure:
            continue
        # One with --rm that does not run is about to start, or about to go by itself.
        idle = status in (CREATED, EXITED, DEAD) and not config.auto_remove
        if idle and passes(chosen, config.created, config.labels):
            found.add(identifier)
    return found


def _idle(store: Store, chosen: Filters) -> list[str]:
    known = Networks(store.root, store.run)
    return [
        network.name
        for network in known.networks()
        if not network.default
        and not known.endpoints(network)
        and passes(chosen, network.created, network.labels)
    ]


def clean(store: Store, wish: Wish) -> Cleaned:
    """Remove it. Containers go first: then their images and volumes are unused, too."""
    from mydocker.engine.life import removal

    containers, space = removal.prune(store, wish.chosen)
    kinds = [("Containers", tuple(containers))]
    failures: list[Failure] = []
    if wish.volumes:
        try:
            names, size = volumes.prune(store, chosen=wish.chosen)
            kinds.append(("Volumes", tuple(names)))
            space += size
        except Conflict as refusal:  # for the sake of one: the rest goes all the same
            failures.append(refusal)
    if _idle(store, wish.chosen):
        removed = networks.prune(
            Networks(store.root, store.run),
            lambda network: passes(wish.chosen, network.created, network.labels),
        )
        kinds.append(("Networks", tuple(network.name for network in removed)))
    pruned = images.prune(store, every=wish.every, chosen=wish.chosen)
    kinds.append(("Images", tuple(line[0].lower() + line[1:] for line in pruned.said)))
    found = tuple((kind, names) for kind, names in kinds if names)
    return Cleaned(found, space + pruned.space, tuple(failures))

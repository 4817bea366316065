"""``system df``: what images, containers and volumes take of the disk, and what could be had back.

A layer that two images stand on counts once: it is *shared*, and comes back only when both go. What
could be had back of the images is what no container needs.
"""

from mydocker.engine.records.config import Config
from mydocker.engine.records.state import State
from mydocker.engine.records.store import Store
from mydocker.engine.trees.disk import disk_use
from mydocker.engine.truth import look
from mydocker.engine.volumes.store import VolumeStore
from mydocker.kernel.errors import Failure
from mydocker.kernel.records import record
from mydocker.overlay2 import digest
from mydocker.overlay2.diff import contents
from mydocker.overlay2.image import Image
from mydocker.overlay2.images import ImageStore
from mydocker.overlay2.layers import LayerStore


@record
class ImageUse:
    """An image: bytes of the layers that others have too and of its own; how many containers."""

    image: Image
    shared: int
    unique: int
    containers: int

    @property
    def size(self) -> int:
        return self.shared + self.unique


@record
class ContainerUse:
    """A container: the bytes that it wrote, and how many volumes it has."""

    config: Config
    state: State
    size: int

    @property
    def volumes(self) -> int:
        return len(self.config.points)


@record
class VolumeUse:
    """A volume: its bytes, and how many containers have it."""

    name: str
    size: int
    links: int


@record
class Sum:
    """One line of the short form."""

    kind: str
    total: int
    active: int
    size: int
    reclaimable: int


@record
class Space:
    """Everything; ``layers`` are the bytes of each image's layer, by ChainID, each once."""

    images: tuple[ImageUse, ...]
    containers: tuple[ContainerUse, ...]
    volumes: tuple[VolumeUse, ...]
    layers: dict[str, int]

    def sums(self) -> list[Sum]:
        """Images, containers, volumes, and the build cache, in Docker's words."""
        needed = {chain for use in self.images if use.containers for chain in use.image.chain_ids}
        needed |= {c for use in self.containers for c in digest.chain_ids(use.config.diff_ids)}
        idle = sum(size for chain, size in self.layers.items() if chain not in needed)
        running = [use for use in self.containers if use.state.active]
        written = sum(use.size for use in self.containers)
        linked = [use for use in self.volumes if use.links]
        kept = sum(use.size for use in self.volumes)
        return [
            Sum("Images", len(self.images), sum(1 for use in self.images if use.containers),
                sum(self.layers.values()), idle),
            Sum("Containers", len(self.containers), len(running), written,
                written - sum(use.size for use in running)),
            Sum("Local Volumes", len(self.volumes), len(linked), kept,
                kept - sum(use.size for use in linked)),
            Sum("Build Cache", 0, 0, 0, 0),
        ]  # fmt: skip


def space(store: Store) -> Space:
    """Look at everything. What vanishes meanwhile is left out."""
    containers = tuple(_containers(store))
    images = ImageStore(store.root)
    listed = images.all()
    layers = {chain: images.layerdb.size(chain) for image in listed for chain in image.chain_ids}
    owners: dict[str, int] = {}
    for image in listed:
        for chain in image.chain_ids:
            owners[chain] = owners.get(chain, 0) + 1
    users: dict[str, int] = {}
    links: dict[str, int] = {}
    for use in containers:
        users[use.config.image_id] = users.get(use.config.image_id, 0) + 1
        for name in {point.name for point in use.config.points}:
            links[name] = links.get(name, 0) + 1
    volumes = VolumeStore(store.root)
    return Space(
        tuple(
            ImageUse(
                image,
                sum(layers[chain] for chain in image.chain_ids if owners[chain] > 1),
                sum(layers[chain] for chain in image.chain_ids if owners[chain] == 1),
                users.get(image.id, 0),
            )
            for image in listed
        ),
        containers,
        tuple(
            VolumeUse(name, disk_use(volumes.data(name)), links.get(name, 0))
            for name in volumes.names()
        ),
        layers,
    )


def _containers(store: Store) -> list[ContainerUse]:
    found = []
    for identifier in store.ids():
        try:
            config, state = store.config(identifier), look(store, identifier)
        except Failure:
            continue
        try:
            size = contents(LayerStore(store.root).layer(identifier).diff).size
        except OSError:
            size = 0  # not started yet
        found.append(ContainerUse(config, state, size))
    return sorted(found, key=lambda use: use.config.created, reverse=True)

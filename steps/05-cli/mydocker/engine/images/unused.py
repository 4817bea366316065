"""``image prune``: the images that nobody needs."""

from collections.abc import Container, Iterator
from typing import NamedTuple

from mydocker.engine.images.uses import of_images, uses
from mydocker.engine.records import events
from mydocker.engine.records.store import Store
from mydocker.engine.words import filters
from mydocker.engine.words.times import number
from mydocker.kernel.errors import Failure
from mydocker.overlay2.image import Image
from mydocker.overlay2.images import ImageStore

FILTERS = (*filters.PRUNING, "dangling")


class Pruned(NamedTuple):
    """What was removed, in the lines of ``rmi``; the bytes that are free again."""

    said: tuple[str, ...]
    space: int


def unused(
    store: Store,
    *,
    every: bool = False,
    chosen: filters.Filters | None = None,
    without: Container[str] = (),
) -> list[Image]:
    """The images without a name, with ``every`` those with one too, that no container was made of.

    ``without``: containers that do not count. ``chosen``: ``until`` for those made before,
    ``label`` and ``label!``. Raises Invalid.
    """
    wanted = chosen or {}
    if "dangling" in wanted:
        every = wanted["dangling"][-1] in ("false", "0")
    used = {
        image_id
        for image_id, found in of_images(store).items()
        if any(use.container not in without for use in found)
    }
    return [
        image
        for image in ImageStore(store.root).all()
        if image.id not in used and (every or not image.names) and _passes(image, wanted)
    ]


def _passes(image: Image, chosen: filters.Filters) -> bool:
    return filters.passes(chosen, _made_at(image), dict(image.config.labels))


def _made_at(image: Image) -> str:
    """When, as our own times are written; the epoch if nobody wrote it down or can read it."""
    text, epoch = image.created, "1970-01-01T00:00:00Z"
    try:
        if not text.endswith("Z"):
            from datetime import UTC, datetime

            text = f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z"
        number(text)
    except ValueError:
        return epoch
    return text


def prune(store: Store, *, every: bool = False, chosen: filters.Filters | None = None) -> Pruned:
    """Remove what :func:`unused` finds. What came into use meanwhile stays."""
    images = ImageStore(store.root)
    said: list[str] = []
    space = 0
    for image in unused(store, every=every, chosen=chosen):
        sizes = {chain_id: images.layerdb.size(chain_id) for chain_id in image.chain_ids}
        lines = list(_removed(store, images, image))
        space += sum(sizes.get(line.removeprefix("Deleted: "), 0) for line in lines)
        said += lines
    events.tell_prune(store, "image", space)
    return Pruned(tuple(said), space)


def _removed(store: Store, images: ImageStore, image: Image) -> Iterator[str]:
    for word in image.names or (image.id,):
        try:
            yield from images.remove(word, used_by=uses(store))
        except Failure:
            return  # a container was made of it just now, or another removed it

"""``image prune``: the images that nobody needs."""

from collections.abc import Container, Iterator
from typing import NamedTuple

from mydocker.engine import filters
from mydocker.engine.images.uses import of_images, uses
from mydocker.engine.store import Store
from mydocker.engine.times import moment, number
from mydocker.kernel.errors import Failure
from mydocker.overlay2.images import Image, ImageStore

FILTERS = ("until", "label", "label!", "dangling")


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
    ``label`` and ``label!``. Raises Refused.
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
    labels = dict(image.config.labels)
    if any(made_at(image) >= moment(text) for text in chosen.get("until", ())):
        return False
    if any(filters.has_labels([text], labels) for text in chosen.get("label!", ())):
        return False
    return filters.has_labels(chosen.get("label", ()), labels)


def made_at(image: Image) -> int:
    """When, in nanoseconds after the epoch; 0 if nobody wrote it down, or nobody can read it."""
    try:
        return number(_utc(image.created))
    except ValueError:
        return 0


def _utc(text: str) -> str:
    if not text or text.endswith("Z"):
        return text
    from datetime import UTC, datetime

    when = datetime.fromisoformat(text).astimezone(UTC)
    return f"{when:%Y-%m-%dT%H:%M:%S}Z"


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
    return Pruned(tuple(said), space)


def _removed(store: Store, images: ImageStore, image: Image) -> Iterator[str]:
    for word in image.names or (image.id,):
        try:
            yield from images.remove(word, used_by=uses(store))
        except Failure:
            return  # a container was made of it just now, or another removed it

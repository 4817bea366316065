"""Which containers were made of which image: what keeps an image from being removed."""

from collections.abc import Callable, Sequence

from mydocker.engine.errors import NoSuchContainer
from mydocker.engine.records.store import Store
from mydocker.kernel.whole import Damaged
from mydocker.overlay2.images import ImageStore, Use


def uses(store: Store) -> Callable[[str], Sequence[Use]]:
    """A function from an image's id to its containers; looks when it is called."""

    def used_by(image_id: str) -> Sequence[Use]:
        return of_images(store).get(image_id, [])

    return used_by


def of_images(store: Store) -> dict[str, list[Use]]:
    """The containers of each image that has some, the running ones first."""
    from mydocker.engine.truth import look

    found: dict[str, list[Use]] = {}
    for identifier in store.ids():
        try:
            running = look(store, identifier).active
            made_of = [store.config(identifier).image_id]
        except NoSuchContainer:
            continue  # removed meanwhile
        except Damaged:
            made_of = _stood_upon(store, identifier)
        for image_id in made_of:
            found.setdefault(image_id, []).append(Use(identifier, running))
    for containers in found.values():
        containers.sort(key=lambda use: not use.running)
    return found


def _stood_upon(store: Store, identifier: str) -> list[str]:
    """The images whose layers lie below that of a container which cannot tell: its own, and those
    that its own was made of."""
    images = ImageStore(store.root)
    below = set(images.layer_store.layer(identifier).lower)
    found = []
    for image in images.all():
        tops = [images.layerdb.cache_id(chain_id) for chain_id in image.chain_ids[-1:]]
        if below.issuperset(f"l/{images.layer_store.layer(top).short}" for top in tops):
            found.append(image.id)
    return found

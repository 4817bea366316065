"""Which containers were made of which image: what keeps an image from being removed."""

from collections.abc import Callable, Sequence

from mydocker.engine.records.store import Store
from mydocker.kernel.errors import Failure
from mydocker.overlay2.images import Use


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
            config = store.config(identifier)
            running = look(store, identifier).active
        except Failure:
            continue  # removed meanwhile, or damaged: it will never be started again
        found.setdefault(config.image_id, []).append(Use(identifier, running))
    for containers in found.values():
        containers.sort(key=lambda use: not use.running)
    return found

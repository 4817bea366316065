"""``history``: the steps by which an image was made, the last one first.

A step may have made a layer or only changed the configuration. An image that was imported from an
``export`` has one step, whatever its files went through before; one from a ``save`` has all.
"""

from typing import NamedTuple

from mydocker.overlay2.content import Json
from mydocker.overlay2.image import Image
from mydocker.overlay2.images import ImageStore

MISSING = "<missing>"  # steps below the last are no images of their own


class Step(NamedTuple):
    """One step. ``size`` are the bytes of its files, 0 if it made no layer; ``created`` is RFC 3339
    or empty."""

    image: str
    created: str
    created_by: str
    size: int
    comment: str


def history(store: ImageStore, image: Image) -> list[Step]:
    """All steps of ``image``, the last one first."""
    sizes = [store.layerdb.size(chain_id) for chain_id in image.chain_ids]
    told = image.document.get("history") or []
    layers = sum(1 for step in told if not step.get("empty_layer"))
    # Some builders tell less than they did: layers without a step come first, without a word.
    untold: list[Json] = [{} for _ in range(max(0, len(sizes) - layers))]
    steps = []
    remaining = iter(sizes)
    for step in [*untold, *told]:
        size = 0 if step.get("empty_layer") else next(remaining, 0)
        text = {key: str(step.get(key) or "") for key in ("created", "created_by", "comment")}
        steps.append(Step(MISSING, text["created"], text["created_by"], size, text["comment"]))
    steps.reverse()
    return [step._replace(image=image.id) for step in steps[:1]] + steps[1:]

"""``commit``: what a container changed becomes a layer, and what it was started with an image.

The new image has all layers and the whole history of the container's image, one more layer on top
and one more line of history. Volumes are mounted over the container's files and not part of them,
so their data does not come along.
"""

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager

from mydocker.container.processes import myself
from mydocker.engine.records import events
from mydocker.engine.records.config import Config
from mydocker.engine.records.state import RUNNING
from mydocker.engine.records.store import Store
from mydocker.engine.trees.layertar import pack_layer
from mydocker.engine.trees.view import container_root
from mydocker.kernel.errors import Conflict, NotFound
from mydocker.kernel.records import replace
from mydocker.overlay2.content import Json
from mydocker.overlay2.image import Image, ImageConfig
from mydocker.overlay2.images import ImageStore
from mydocker.overlay2.importing import add_layer, describe, now
from mydocker.overlay2.instructions import apply
from mydocker.overlay2.layers import LayerStore
from mydocker.overlay2.workspace import workspace

Progress = Callable[[int], None]

# The layer of a container that changed nothing: an archive of nothing, 1024 zeros. As in Docker, an
# image does not get it; its history says that the step was empty.
EMPTY = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"


def commit(
    store: Store,
    word: str,
    name: str = "",
    *,
    author: str = "",
    message: str = "",
    changes: Iterable[str] = (),
    pause: bool = True,
    progress: Progress | None = None,
) -> Image:
    """Make an image of the container ``word``, called ``name`` if that is not empty.

    ``pause``: nothing in it runs meanwhile, so that no file is half written. Raises
    NoSuchContainer, or Failure for what cannot be; then nothing has changed.
    """
    from mydocker.overlay2.reference import parse

    names = [parse(name).name] if name else []
    identifier = store.find(word)
    config = store.config(identifier)
    settings = apply(container_config(config), changes)
    images = ImageStore(store.root)
    with workspace(store.root) as work, _still(store, identifier, pause):
        pieces = _changes(store, identifier)
        try:
            layer = add_layer(pieces, work, progress)
        finally:
            pieces.close()
        document = _document(images, config, settings, author, message, layer.diff_id)
        layers = [] if layer.diff_id == EMPTY else [layer]
        image = images.commit(work, document, layers, names)
        about = {"comment": message, "imageID": image.id, "imageRef": "".join(names)}
        events.tell(store, config, "commit", **about)
        return image


@contextmanager
def _still(store: Store, identifier: str, pause: bool) -> Iterator[None]:
    """Nobody removes or starts the container meanwhile; with ``pause`` it stands still."""
    from mydocker.engine.life import lifecycle
    from mydocker.engine.life.creation import need_layer_locked
    from mydocker.engine.truth import changing, look

    paused = False
    if pause and look(store, identifier).status == RUNNING:
        try:
            lifecycle.pause(store, identifier, myself())
            paused = True
        except (Conflict, NotFound):
            pass  # it ended, or another paused it, just now
    try:
        with changing(store, identifier):
            need_layer_locked(store, identifier)
            yield
    finally:
        if paused:
            try:
                lifecycle.unpause(store, identifier)
            except (Conflict, NotFound):
                pass  # it was killed meanwhile


def _changes(store: Store, identifier: str) -> Generator[bytes, None, None]:
    """The container's own layer as an archive; what was opened for it is closed with it."""
    opened: list[int] = []

    def merged() -> int:
        if len(opened) == 1:
            opened.append(container_root(store.root, identifier))
        return opened[1]

    own, *below = LayerStore(store.root).stack(identifier)
    opened.append(os.open(own.diff, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    try:
        yield from pack_layer(opened[0], [layer.diff for layer in below], merged)
    finally:
        for fd in opened:
            os.close(fd)


def _document(
    images: ImageStore,
    config: Config,
    settings: ImageConfig,
    author: str,
    message: str,
    diff_id: str,
) -> Json:
    created = now()
    diff_ids = list(config.diff_ids)
    step: Json = {"created": created, "created_by": " ".join(config.settings.cmd)}
    step |= {key: text for key, text in (("author", author), ("comment", message)) if text}
    if diff_id == EMPTY:
        step["empty_layer"] = True
    else:
        diff_ids.append(diff_id)
    below = images.find(config.image_id)
    document = describe(diff_ids, settings, message, created)
    document["history"] = [*((below.document.get("history") or []) if below else []), step]
    if below:
        for key in ("architecture", "os", "variant", "os.version"):
            if key in below.document:
                document[key] = below.document[key]
    if author:
        document["author"] = author
    return document


def container_config(config: Config) -> ImageConfig:
    """What a container of the committed image is started with: as this one was."""
    published = {f"{port.container}/{port.protocol}" for port in config.network.publish}
    ports = tuple(sorted({*config.network.exposed, *published}))
    labels = tuple(sorted(config.settings.labels))
    return replace(config.settings, labels=labels, exposed_ports=ports)

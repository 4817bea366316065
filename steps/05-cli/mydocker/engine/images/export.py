"""``export``: the files of a container as one tar archive, as if all layers were one.

Whatever the image was made of, its history, its layers, its configuration, is not in there; nor is
what is mounted in the container, volumes above all.
"""

import os
from collections.abc import Callable, Iterable

from mydocker.engine.records import events
from mydocker.engine.records.store import Store
from mydocker.engine.trees.layertar import pack_tree
from mydocker.engine.trees.view import container_root

Progress = Callable[[int], None]


def export(
    store: Store, word: str, fd: int, *, sparse: bool = False, progress: Progress | None = None
) -> None:
    """Write the files of the container ``word`` to the descriptor ``fd``.

    ``sparse``: holes are written as GNU tar -S does. Raises NoSuchContainer; the OSError of a full
    disk or a closed pipe is the caller's.
    """
    from mydocker.engine.life.creation import need_layer

    identifier = store.find(word)
    need_layer(store, identifier)
    root = container_root(store.root, identifier)
    try:
        write_pieces(fd, pack_tree(root, sparse=sparse), progress)
    finally:
        os.close(root)
    events.tell(store, store.known(identifier), "export")


def write_pieces(fd: int, pieces: Iterable[bytes], progress: Progress | None = None) -> None:
    """Write all pieces; ``progress`` is told the bytes that are written."""
    done = 0
    for piece in pieces:
        rest = memoryview(piece)
        while rest:
            rest = rest[os.write(fd, rest) :]
        done += len(piece)
        if progress:
            progress(done)

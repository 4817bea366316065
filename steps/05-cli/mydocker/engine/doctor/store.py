"""Is the store of images, layers and volumes sound: does all that it says of itself exist?

A command that is killed may leave something that nobody needs (``pruning`` finds that). It may
never leave something that is named and not there: an image without a layer, a layer without the one
below it, a layer that is another than its name says.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager

from mydocker.kernel.errors import Failure
from mydocker.overlay2.content import Json
from mydocker.overlay2.image import Image
from mydocker.overlay2.images import ImageStore

_AGAIN = "Remove the images that have it and import them again; is the disk sound?"


def verify(root: str, full: bool = False) -> int:
    """The number of images. ``full`` reads every blob again. Raises Failure for the first thing
    that is not as it should be."""
    store = ImageStore(root)
    with _still(store):
        images, damaged = store.listed()
        if damaged:
            raise damaged[0][1]
        for image in images:
            _image(store, image)
        _names(images)
        _layers(store)
        _volumes(f"{root}/volumes")
    if full:
        for digest in store.content.digests():
            _blob(store, digest)
    return len(images)


@contextmanager
def _still(store: ImageStore) -> Iterator[None]:
    """Nobody changes the images meanwhile; but who may not write may look all the same."""
    if os.access(f"{store.content.path}/lock", os.W_OK):
        with store.content.lock():
            yield
    else:
        yield


def _image(store: ImageStore, image: Image) -> None:
    """Its archives have the sizes of its manifest, its layers stand on each other."""
    layers: list[Json] = store.content.read(image.manifest)["layers"]
    if [layer["digest"] for layer in layers] != list(image.diff_ids):
        raise Failure(f"image {image.short_id}: manifest and configuration differ", _AGAIN)
    for layer in layers:
        try:
            size = os.stat(store.content.blob(layer["digest"])).st_size
        except FileNotFoundError:
            size = -1
        if size != layer["size"]:
            found = f"{size} bytes" if size >= 0 else "missing"
            raise Failure(
                f"image {image.short_id}: archive {layer['digest']} is {found}, not"
                f" {layer['size']} bytes",
                _AGAIN,
            )
    below: list[str] = []
    cache_ids = store.parents(image.id, image.diff_ids)
    for chain_id, cache_id, diff_id in zip(image.chain_ids, cache_ids, image.diff_ids, strict=True):
        registered = store.layerdb.get(chain_id)
        stands_on = [store.layer_store.resolve(s) for s in store.layer_store.layer(cache_id).lower]
        if stands_on != below[::-1] or registered.diff_id != diff_id:
            raise Failure(f"image {image.short_id}: its layer {chain_id} is another", _AGAIN)
        below.append(cache_id)


def _names(images: list[Image]) -> None:
    taken: set[str] = set()
    for image in images:
        for name in image.names:
            if name in taken:
                raise Failure(f"two images are called {name}", "mydocker tag IMAGE NAME decides")
            taken.add(name)


def _layers(store: ImageStore) -> None:
    """No layer that can be mounted lacks one below it."""
    for layer_id in store.layer_store.ids():
        if store.layer_store.exists(layer_id):
            for short in store.layer_store.layer(layer_id).lower:
                store.layer_store.resolve(short)
                if not os.path.isdir(f"{store.layer_store.path}/{short}"):
                    raise Failure(f"layer {layer_id[:12]}: {short} below it is gone", _AGAIN)


def _volumes(path: str) -> None:
    for name in _listed(path):
        if not os.path.isdir(f"{path}/{name}/_data"):
            raise Failure(f"volume {name} has no data", f"rm -r {path}/{name}")


def _listed(path: str) -> Iterator[str]:
    try:
        yield from sorted(os.listdir(path))
    except FileNotFoundError:
        return


def _blob(store: ImageStore, digest: str) -> None:
    try:
        with open(store.content.blob(digest), "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return  # its image was removed meanwhile
    if f"sha256:{found}" != digest:
        raise Failure(f"blob {digest} is not what it was", _AGAIN)

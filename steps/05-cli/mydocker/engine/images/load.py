"""``load``: images from an archive, as ``save`` and other people's tools write them.

Two forms are known, each plain or compressed: Docker's, with a ``manifest.json``, and the OCI image
layout, with an ``index.json``. All layers are unpacked into a workspace and compared with their
digests before the store is changed: an archive is loaded whole, or not at all.

Only the layers that the store does not have are unpacked. The configuration is kept byte for byte,
because its digest is the image's id.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from mydocker.engine.images.bundle import Bundle, DamagedImage, check_json, descriptor, opened
from mydocker.kernel.errors import Failure
from mydocker.overlay2 import digest as digests
from mydocker.overlay2.content import REF_NAME, Json
from mydocker.overlay2.image import ImageConfig
from mydocker.overlay2.images import ImageStore, NewLayer
from mydocker.overlay2.importing import Progress, add_layer, architecture
from mydocker.overlay2.workspace import workspace

_NAME = "io.containerd.image.name"
_DEEPEST = 3  # indexes in indexes


class Loaded(NamedTuple):
    """One image that is in the store now. ``replaced``: names that another image, whose id it is,
    had before."""

    id: str
    names: tuple[str, ...]
    replaced: tuple[tuple[str, str], ...] = ()


class _Packed(NamedTuple):
    """One image in the archive: its configuration, where its layers are and what they are to be.

    A layer's digest is that of its bytes in the archive; empty in Docker's form, which has none.
    """

    raw: bytes
    document: Json
    names: tuple[str, ...]
    layers: tuple[tuple[str, str], ...]  # file in the archive, digest

    @property
    def id(self) -> str:
        return digests.of(self.raw)

    @property
    def diff_ids(self) -> list[str]:
        return list(self.document["rootfs"]["diff_ids"])


def load(store: ImageStore, path: str, *, progress: Progress | None = None) -> list[Loaded]:
    """Load all images of the archive ``path``, or of standard input for ``-``.

    ``progress`` is told the bytes read, and how many there are, 0 if nobody knows. Raises Failure
    for whatever is wrong with the archive; then the store is as before.
    """
    told = progress or (lambda done, size: None)
    with workspace(store.root) as work, opened(path, work, told) as bundle:
        packed = _images(bundle)
        _look_at_names(packed)
        unpacked = _unpacked(store, bundle, packed, work, told)
        return [_committed(store, image, unpacked, work) for image in packed]


def _images(bundle: Bundle) -> list[_Packed]:
    if bundle.has("manifest.json"):
        return list(_docker(bundle))
    if bundle.has("index.json"):
        return _merged(_oci(bundle, bundle.document("index.json"), (), 0))
    raise DamagedImage(
        "the archive has no images: neither manifest.json (Docker) nor index.json (OCI) is in it",
        "An archive of a container's files, as export writes it, takes import and not load",
    )


def _look_at_names(packed: list[_Packed]) -> None:
    """Names that are none are found before the long work."""
    from mydocker.overlay2.reference import parse

    for image in packed:
        for name in image.names:
            parse(name)


# ---------------------------------------------------------------- Docker's form


def _docker(bundle: Bundle) -> Iterator[_Packed]:
    table = check_json(bundle.document("manifest.json"), list, "manifest.json")
    if not table:
        raise DamagedImage("manifest.json in the archive names no image")
    for number, value in enumerate(table):
        what = f"image {number + 1} of manifest.json"
        line = check_json(value, dict, what)
        config = check_json(line.get("Config"), str, f"Config of {what}")
        layers = check_json(line.get("Layers") or [], list, f"Layers of {what}")
        names = check_json(line.get("RepoTags") or [], list, f"RepoTags of {what}")
        for text in (*layers, *names):
            check_json(text, str, what)
        raw = bundle.content(config)
        _compare(raw, config)
        document = _configuration(raw, config)
        files = tuple((layer, _named_digest(layer)) for layer in layers)
        yield _whole(_Packed(raw, document, tuple(names), files))


def _compare(raw: bytes, name: str) -> None:
    """A configuration is called by its digest in all archives: by that one, or it is another's."""
    expected = name.rpartition("/")[2].removesuffix(".json")
    if len(expected) == 64 and digests.is_hex(expected):
        _check_digest(raw, digests.ALGORITHM + expected, name)


def _named_digest(name: str) -> str:
    """The digest that ``blobs/sha256/<digest>`` promises."""
    head, _, tail = name.rpartition("/")
    return digests.ALGORITHM + tail if head == "blobs/sha256" and len(tail) == 64 else ""


# ---------------------------------------------------------------- OCI's form


def _oci(bundle: Bundle, value: Any, names: tuple[str, ...], depth: int) -> Iterator[_Packed]:
    """All images of an index; of one image for several kinds of machines that for ours."""
    index = check_json(value, dict, "an index")
    lines = check_json(index.get("manifests"), list, "the list of manifests")
    if not lines or depth > _DEEPEST:
        raise DamagedImage("an index in the archive names no image")
    for number, line in enumerate(_for_this_machine(lines) if depth else lines):
        digest, told = descriptor(line, f"manifest {number + 1} of an index")
        mine = names or _annotated(told)
        path = _blob(digest)
        raw = bundle.content(path)
        _check_digest(raw, digest, path)
        manifest = check_json(bundle.document(path), dict, path)
        if "manifests" in manifest:
            yield from _oci(bundle, manifest, mine, depth + 1)
        else:
            yield _from_manifest(bundle, manifest, mine)


def _for_this_machine(lines: list[Any]) -> list[Any]:
    def fits(line: Any) -> bool:
        platform = line.get("platform") if isinstance(line, dict) else None
        if not isinstance(platform, dict):
            return False
        return (platform.get("os"), platform.get("architecture")) == ("linux", architecture())

    fitting = [line for line in lines if fits(line)]
    if not fitting and len(lines) > 1:
        raise DamagedImage(f"the archive has no image for linux/{architecture()}")
    return (fitting or lines)[:1]


def _annotated(line: Json) -> tuple[str, ...]:
    """The name that a line of the index carries. A tag alone, as umoci writes it, names nothing."""
    annotations = line.get("annotations")
    if not isinstance(annotations, dict):
        return ()
    name = annotations.get(_NAME) or annotations.get(REF_NAME)
    return (name,) if isinstance(name, str) and (":" in name or "/" in name) else ()


def _from_manifest(bundle: Bundle, manifest: Json, names: tuple[str, ...]) -> _Packed:
    config, _ = descriptor(manifest.get("config"), "the configuration")
    layers = check_json(manifest.get("layers"), list, "the list of layers")
    found = [descriptor(line, f"layer {number + 1}")[0] for number, line in enumerate(layers)]
    raw = bundle.content(_blob(config))
    _check_digest(raw, config, _blob(config))
    document = _configuration(raw, _blob(config))
    return _whole(_Packed(raw, document, names, tuple((_blob(d), d) for d in found)))


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _merged(packed: Iterator[_Packed]) -> list[_Packed]:
    """An index has a line for each name of an image."""
    images: dict[str, _Packed] = {}
    for image in packed:
        before = images.get(image.id)
        names = dict.fromkeys((*(before.names if before else ()), *image.names))
        images[image.id] = image._replace(names=tuple(names))
    return list(images.values())


# ---------------------------------------------------------------- what both have


def _check_digest(raw: bytes, digest: str, name: str) -> None:
    if digests.of(raw) != digest:
        raise DamagedImage(
            f"{name!r} in the archive is {digests.of(raw)} and not {digest}",
            "It was damaged, or changed by somebody, on its way",
        )


def _configuration(raw: bytes, name: str) -> Json:
    """A configuration in which everything that we read later is of the right type."""
    import json

    try:
        document: Json = check_json(json.loads(raw), dict, name)
        settings = check_json(document.get("config") or {}, dict, f"config of {name}")
        config = ImageConfig.from_json(settings)
        texts = (*config.env, *config.cmd, *config.entrypoint, *config.on_build, config.user)
        if not all(isinstance(text, str) for text in (*texts, config.working_dir)):
            raise TypeError("not a text")
        diff_ids = document["rootfs"]["diff_ids"] or []
        document["rootfs"]["diff_ids"] = diff_ids
        if not all(digests.is_digest(digest) for digest in diff_ids):
            raise TypeError("not a digest")
        for step in check_json(document.get("history") or [], list, f"history of {name}"):
            check_json(step, dict, f"history of {name}")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise DamagedImage(f"{name!r} in the archive is not an image's configuration") from None
    if document.get("os", "linux") != "linux":
        raise DamagedImage(f"{name!r} in the archive is for {document['os']} and not for linux")
    return document


def _whole(image: _Packed) -> _Packed:
    if len(image.layers) != len(image.diff_ids):
        raise DamagedImage(
            f"an image in the archive has {len(image.layers)} layers, and its configuration"
            f" {len(image.diff_ids)}"
        )
    return image


# ---------------------------------------------------------------- into the store


def _unpacked(
    store: ImageStore,
    bundle: Bundle,
    packed: list[_Packed],
    work: str,
    told: Callable[[int, int], None],
) -> dict[str, NewLayer]:
    """The layers that the store does not have, by their ChainIDs, each compared with its DiffID."""
    import os

    needed = _needed(store, packed)
    total, done = bundle.sizes(file for file, _, _ in needed.values()), 0

    def read(count: int) -> None:
        nonlocal done
        done += count
        told(done, total)

    found: dict[str, NewLayer] = {}
    for number, (chain_id, (file, digest, diff_id)) in enumerate(needed.items()):
        place = f"{work}/{number}"
        os.mkdir(place)
        try:
            # An uncompressed layer's digest is its DiffID, and that is computed anyway.
            pieces = bundle.layer(file, "" if digest == diff_id else digest, read)
            layer = add_layer(pieces, place)
        except DamagedImage:
            raise
        except Failure as failure:
            raise DamagedImage(f"{file!r} in the archive: {failure}") from None
        if layer.diff_id != diff_id:
            raise DamagedImage(
                f"{file!r} in the archive is {layer.diff_id}, and its image says {diff_id}",
                "It was damaged, or changed by somebody, on its way",
            )
        found[chain_id] = layer
    return found


def _needed(store: ImageStore, packed: list[_Packed]) -> dict[str, tuple[str, str, str]]:
    needed: dict[str, tuple[str, str, str]] = {}
    for image in packed:
        chain = digests.chain_ids(image.diff_ids)
        for chain_id, diff_id, (file, digest) in zip(
            chain, image.diff_ids, image.layers, strict=True
        ):
            cache_id = store.layerdb.cache_id(chain_id)
            there = cache_id and store.layer_store.exists(cache_id) and store.content.has(diff_id)
            if not there:
                needed.setdefault(chain_id, (file, digest, diff_id))
    return needed


def _committed(
    store: ImageStore, image: _Packed, unpacked: dict[str, NewLayer], work: str
) -> Loaded:
    from mydocker.overlay2.reference import parse

    names = tuple(parse(name).name for name in image.names)
    before = [(name, found.id) for name in names if (found := store.find(name))]
    mine = [unpacked[c] for c in digests.chain_ids(image.diff_ids) if c in unpacked]
    committed = store.commit(work, image.document, mine, names, raw=image.raw, loaded=True)
    replaced = tuple((name, old) for name, old in before if old != committed.id)
    return Loaded(committed.id, names, replaced)

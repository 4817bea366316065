"""``save``: images with all their layers and their history as one archive.

The archive is an OCI image layout (OCI image specification, "Image Layout Specification"): blobs
named by their digests, and ``index.json`` that says which of them are images. Docker's form is the
same with one file more, ``manifest.json``, as ``docker save`` has written it since version 25; so
one archive serves those who know either form.

The table of contents comes first: who reads from a pipe knows what is to come.
"""

import errno
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from mydocker.engine.trees import tarheader
from mydocker.kernel.errors import Failure, by_errno
from mydocker.overlay2.content import MANIFEST, REF_NAME, Json, encode
from mydocker.overlay2.digest import ALGORITHM
from mydocker.overlay2.image import Image
from mydocker.overlay2.images import ImageStore
from mydocker.overlay2.reference import InvalidReference, parse
from mydocker.overlay2.tarformat import DIRECTORY, FILE, Entry

DOCKER = "docker"
OCI = "oci"
NAME = "io.containerd.image.name"  # the annotation for whole names; REF_NAME has the tag alone

Progress = Callable[[int, int], None]

_PIECE = 1 << 20


class Chosen(NamedTuple):
    """An image to be saved, with those of its names that were asked for."""

    image: Image
    names: tuple[str, ...]


class _Blob(NamedTuple):
    path: str
    fd: int
    size: int


def choose(store: ImageStore, words: Sequence[str]) -> list[Chosen]:
    """What ``words`` name: an image by id or tag, or, by a name without a tag, all with that name.

    Raises NoSuchImage.
    """
    names: dict[str, list[str]] = {}
    images: dict[str, Image] = {}
    for word in words:
        for image, name in _named(store, word):
            images[image.id] = image
            mine = names.setdefault(image.id, [])
            mine += [name] if name and name not in mine else []
    return [Chosen(image, tuple(names[image_id])) for image_id, image in images.items()]


def _named(store: ImageStore, word: str) -> list[tuple[Image, str]]:
    try:
        reference = parse(word)
    except InvalidReference:  # an id
        return [(store.resolve(word), "")]
    if ":" not in word.rpartition("/")[2]:
        every = [
            (image, name)
            for image in store.all()
            for name in image.names
            if name.rpartition(":")[0] == reference.repository
        ]
        if every:
            return every
    image = store.resolve(word)
    return [(image, reference.name if reference.name in image.names else "")]


def save(
    store: ImageStore,
    words: Sequence[str],
    fd: int,
    *,
    form: str = DOCKER,
    progress: Progress | None = None,
) -> None:
    """Write the images named by ``words`` to the descriptor ``fd``.

    Raises NoSuchImage before anything is written; the OSError of a full disk is the caller's.
    """
    with ExitStack() as opened:
        with store.content.lock():
            chosen = choose(store, words)
            blobs = [
                _opened(store, digest, opened)
                for digest in dict.fromkeys(d for one in chosen for d in _digests(store, one.image))
            ]
        tables = {
            "oci-layout": {"imageLayoutVersion": "1.0.0"},
            "index.json": _index(store, chosen),
        }
        documents = {name: encode(value) for name, value in tables.items()}
        if form == DOCKER:
            documents["manifest.json"] = json.dumps(_table(chosen)).encode()
        total, done = sum(blob.size for blob in blobs), 0
        out = _Out(fd)
        for name, data in documents.items():
            out.write(_member(name, FILE, len(data)) + data + tarheader.padding(len(data)))
        for directory in ("blobs", "blobs/sha256"):
            out.write(_member(directory, DIRECTORY, 0))
        for blob in blobs:
            out.write(_member(blob.path, FILE, blob.size))
            for count in out.copy(blob):
                done += count
                if progress:
                    progress(done, total)
            out.write(tarheader.padding(blob.size))
        out.write(tarheader.END)
    for one in chosen:
        store.tell(one.image, "save")


def _digests(store: ImageStore, image: Image) -> list[str]:
    layers = store.content.read(image.manifest)["layers"]
    return [image.manifest, image.id, *(layer["digest"] for layer in layers)]


def _opened(store: ImageStore, digest: str, opened: ExitStack) -> _Blob:
    """A blob that stays readable when its image is removed while we write."""
    try:
        fd = os.open(store.content.blob(digest), os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        hint = "The image store is damaged: remove the image and import it again"
        raise by_errno(error.errno)(
            f"{store.content.blob(digest)}: {error.strerror}", hint
        ) from None
    opened.callback(os.close, fd)
    return _Blob(_path(digest), fd, os.fstat(fd).st_size)


def _path(digest: str) -> str:
    return f"blobs/sha256/{digest.removeprefix(ALGORITHM)}"


def _member(name: str, kind: bytes, size: int) -> bytes:
    """The header of one file of the archive, without a time: the same images, the same bytes."""
    mode = 0o755 if kind == DIRECTORY else 0o644
    entry = Entry(name.encode(), kind, mode, 0, 0, size, 0, b"", (0, 0), stored=size)
    return tarheader.encode(entry)


def _index(store: ImageStore, chosen: Sequence[Chosen]) -> Json:
    lines: list[Json] = []
    for image, names in chosen:
        size = os.stat(store.content.blob(image.manifest)).st_size
        line: Json = {"mediaType": MANIFEST, "digest": image.manifest, "size": size}
        lines += [line | {"annotations": _annotations(name)} for name in names] or [line]
    return {"schemaVersion": 2, "manifests": lines}


def _annotations(name: str) -> Json:
    return {NAME: _full(name), REF_NAME: name.rpartition(":")[2]}


def _full(name: str) -> str:
    """A name with the registry that its short form stands for: docker.io/library/busybox:latest."""
    first = name.partition("/")[0]
    if "/" not in name:
        return f"docker.io/library/{name}"
    known = "." in first or ":" in first or first == "localhost"
    return name if known else f"docker.io/{name}"


def _table(chosen: Sequence[Chosen]) -> list[Json]:
    """``manifest.json``, as the documentation of ``docker save`` has it."""
    return [
        {
            "Config": _path(image.id),
            "RepoTags": list(names) or None,
            "Layers": [_path(diff_id) for diff_id in image.diff_ids],
        }
        for image, names in chosen
    ]


class _Out:
    """The descriptor that the archive goes to: a file, a pipe, a socket."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._by_kernel = True  # sendfile(2): the bytes never come into this process

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._fd, rest) :]

    def copy(self, blob: _Blob) -> Iterator[int]:
        """Copy a whole blob; gives the bytes of each step."""
        offset = 0
        while offset < blob.size:
            count = self._step(blob, offset)
            if not count:
                hint = "The image store is damaged: remove the image and import it again"
                raise Failure(f"{blob.path}: shorter than it was", hint)
            offset += count
            yield count

    def _step(self, blob: _Blob, offset: int) -> int:
        wanted = min(blob.size - offset, 16 * _PIECE)
        if self._by_kernel:
            try:
                return os.sendfile(self._fd, blob.fd, offset, wanted)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOSYS):
                    raise
                self._by_kernel = False  # a file that was opened to append, for example
        data = os.pread(blob.fd, min(wanted, _PIECE), offset)
        self.write(data)
        return len(data)

"""The content store: an OCI image layout, ``<root>/image``.

::

    oci-layout              the version of the layout
    index.json              which images there are, and their names
    blobs/sha256/<hex>      everything else, named by its digest: layers, configurations, manifests

See "OCI Image Layout" in the OCI image specification. What has its content for a name never
changes, so only ``index.json`` needs a lock, and readers need none: it is replaced as a whole.

Layers are kept as they were hashed, uncompressed: the blob's digest is the DiffID, and what is
written is what was read.
"""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mydocker.container.private import FILE
from mydocker.kernel import files, signals, whole
from mydocker.kernel.errors import by_errno
from mydocker.kernel.records import record
from mydocker.kernel.whole import Damaged
from mydocker.overlay2 import digest as digests
from mydocker.overlay2.workspace import explained, make_directories

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
INDEX = "application/vnd.oci.image.index.v1+json"
REF_NAME = "org.opencontainers.image.ref.name"

Json = dict[str, Any]

DAMAGED = "The image store is damaged: remove the image and import it"
_DAMAGED_INDEX = "The index of the image store is damaged: see `mydocker doctor`"


@record
class Named:
    """One line of the index: a manifest and the name it goes by, empty for an untagged one."""

    name: str
    digest: str
    size: int


@record
class Manifest:
    """What a manifest says: the digest of the configuration, those of the layers, bottom up."""

    configuration: str
    layers: tuple[str, ...]


class ContentStore:
    """The content under ``<root>/image``. Making the object touches nothing."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.path = f"{root}/image"

    # ------------------------------------------------------------ blobs

    def blob(self, digest: str) -> str:
        """Where the blob ``digest`` is, whether it is there or not."""
        return f"{self.path}/blobs/{digest.replace(':', '/')}"

    def has(self, digest: str) -> bool:
        """True if the blob is there."""
        return os.path.exists(self.blob(digest))

    def read(self, digest: str) -> Json:
        """A blob that is a JSON object: a manifest or a configuration."""
        value = whole.read_json(self.blob(digest), DAMAGED)
        if value is None:
            raise Damaged(self.blob(digest), DAMAGED, errno.ENOENT)
        return value

    def manifest(self, digest: str) -> Manifest:
        """What an image consists of. Raises Damaged if the blob is none of ours."""
        value = self.read(digest)
        try:
            configuration = digests.checked(value["config"]["digest"])
            layers = tuple(digests.checked(layer["digest"]) for layer in value["layers"])
        except (KeyError, TypeError, ValueError):
            raise Damaged(self.blob(digest), DAMAGED) from None
        return Manifest(configuration, layers)

    def document(self, digest: str) -> Json:
        """The configuration of an image, with ``rootfs.diff_ids`` that are digests."""
        value = self.read(digest)
        try:
            found = value["rootfs"]["diff_ids"]
            value["rootfs"]["diff_ids"] = [digests.checked(one) for one in found]
            if not isinstance(value.get("config") or {}, dict):
                raise TypeError
        except (KeyError, TypeError, ValueError):
            raise Damaged(self.blob(digest), DAMAGED) from None
        return value

    def write(self, value: Json) -> Json:
        """Keep a JSON object as a blob; its descriptor, without a media type."""
        return self.put(encode(value))

    def put(self, data: bytes) -> Json:
        """Keep some bytes as a blob; its descriptor, without a media type."""
        digest = digests.of(data)
        if not self.has(digest):
            self.found()
            whole.write(self.blob(digest), data)
        return {"digest": digest, "size": len(data)}

    def adopt(self, path: str, digest: str) -> None:
        """Take the file ``path``, which must be on the same filesystem, as the blob ``digest``."""
        self.found()
        os.chmod(path, FILE)
        os.rename(path, self.blob(digest))

    def digests(self) -> list[str]:
        """The digests of all blobs."""
        try:
            names = os.listdir(f"{self.path}/blobs/sha256")
        except FileNotFoundError:
            return []
        found = sorted(digests.ALGORITHM + name for name in names)
        return [digest for digest in found if digests.is_digest(digest)]

    def drafts(self) -> list[str]:
        """Files that a process was writing when it was killed; see ``kernel.whole``."""
        found = []
        for directory in (self.path, f"{self.path}/blobs/sha256"):
            for name in sorted(os.listdir(directory)):
                writer = whole.writer(name)
                if writer and not os.path.exists(f"/proc/{writer}"):
                    found.append(f"{directory}/{name}")
        return found

    def remove(self, digest: str) -> None:
        """Remove a blob."""
        files.unlink(self.blob(digest), why="no image needs it any more")

    # ------------------------------------------------------------ the index

    def index(self, *, strict: bool = False) -> list[Named]:
        """Names and manifests, in the order in which they came.

        A line that is damaged is left out; ``strict``: Damaged, as for an index that is none.
        """
        path = f"{self.path}/index.json"
        value = whole.read_json(path, _DAMAGED_INDEX)
        if value is None:
            self._check_place()
            return []
        try:
            entries = value["manifests"]
            found = [_named(entry) for entry in entries]
        except (KeyError, TypeError):
            raise Damaged(path, _DAMAGED_INDEX) from None
        if strict and None in found:
            raise Damaged(path, _DAMAGED_INDEX)
        return [one for one in found if one is not None]

    def _check_place(self) -> None:
        """No index is an empty store, where there could be one. Raises Failure."""
        try:
            os.stat(self.path)
        except FileNotFoundError:
            return
        except OSError as error:
            hint = "The data belongs to root: use sudo; or name a directory with --root"
            raise by_errno(error.errno)(f"{self.path}: {error.strerror}", hint) from None

    def write_index(self, entries: list[Named]) -> None:
        """Replace the index. The caller holds :meth:`lock`."""
        manifests = [
            {"mediaType": MANIFEST, "digest": entry.digest, "size": entry.size}
            | ({"annotations": {REF_NAME: entry.name}} if entry.name else {})
            for entry in entries
        ]
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
        whole.write(f"{self.path}/index.json", encode(index))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Nobody else changes the store meanwhile; waits for those who do."""
        with explained(self.path):
            self.found()
            fd = os.open(f"{self.path}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                signals.lock(fd)
                yield
            finally:
                os.close(fd)

    def found(self) -> None:
        """Make what an empty store consists of."""
        make_directories(self.root, "image/blobs/sha256")
        if not os.path.exists(f"{self.path}/oci-layout"):
            layout = encode({"imageLayoutVersion": "1.0.0"})
            whole.write(f"{self.path}/oci-layout", layout)


def _named(entry: Any) -> Named | None:
    """A line of the index; None for one that is damaged: the others count."""
    try:
        name = entry.get("annotations", {}).get(REF_NAME, "")
        return Named(str(name), digests.checked(entry["digest"]), int(entry["size"]))
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def encode(value: Json) -> bytes:
    """JSON that is the same bytes for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()

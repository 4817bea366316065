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

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mydocker.kernel import files, signals
from mydocker.kernel.errors import Failure
from mydocker.kernel.records import record
from mydocker.overlay2 import digest as digests
from mydocker.overlay2.workspace import explained, make_directories

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
INDEX = "application/vnd.oci.image.index.v1+json"
REF_NAME = "org.opencontainers.image.ref.name"

Json = dict[str, Any]


@record
class Named:
    """One line of the index: a manifest and the name it goes by, empty for an untagged one."""

    name: str
    digest: str
    size: int


class ContentStore:
    """The content under ``<root>/image``. Making the object touches nothing."""

    def __init__(self, root: str) -> None:
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
        try:
            with open(self.blob(digest), "rb") as file:
                value = json.loads(file.read())
        except (OSError, ValueError) as error:
            raise self._broken(digest, error) from None
        if not isinstance(value, dict):
            raise self._broken(digest, "not a JSON object")
        return value

    def _broken(self, digest: str, why: object) -> Failure:
        return Failure(
            f"{self.blob(digest)}: {why}",
            "The image store is damaged: remove the image and import it",
        )

    def write(self, value: Json) -> Json:
        """Keep a JSON object as a blob; its descriptor, without a media type."""
        return self.put(encode(value))

    def put(self, data: bytes) -> Json:
        """Keep some bytes as a blob; its descriptor, without a media type."""
        digest = digests.of(data)
        if not self.has(digest):
            self.found()
            replace(self.blob(digest), data)
        return {"digest": digest, "size": len(data)}

    def adopt(self, path: str, digest: str) -> None:
        """Take the file ``path``, which must be on the same filesystem, as the blob ``digest``."""
        self.found()
        os.chmod(path, 0o644)
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
        """Files that a process was writing when it was killed; see :func:`replace`."""
        found = []
        for directory in (self.path, f"{self.path}/blobs/sha256"):
            for name in sorted(os.listdir(directory)):
                writer = name.removesuffix(".new").rpartition(".")[2]
                if name.endswith(".new") and not os.path.exists(f"/proc/{writer}"):
                    found.append(f"{directory}/{name}")
        return found

    def remove(self, digest: str) -> None:
        """Remove a blob."""
        files.unlink(self.blob(digest), why="no image needs it any more")

    # ------------------------------------------------------------ the index

    def index(self) -> list[Named]:
        """Names and manifests, in the order in which they came."""
        path = f"{self.path}/index.json"
        try:
            with open(path, "rb") as file:
                manifests = json.loads(file.read())["manifests"]
            return [
                Named(
                    entry.get("annotations", {}).get(REF_NAME, ""), entry["digest"], entry["size"]
                )
                for entry in manifests
            ]
        except FileNotFoundError:
            return []
        except OSError as error:
            hint = "Name a directory with --root, or MYDOCKER_ROOT; only root can look into it"
            raise Failure(f"{path}: {error.strerror}", hint) from None
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise Failure(f"{path}: {error!r}", "The image store is damaged") from None

    def write_index(self, entries: list[Named]) -> None:
        """Replace the index. The caller holds :meth:`lock`."""
        manifests = [
            {"mediaType": MANIFEST, "digest": entry.digest, "size": entry.size}
            | ({"annotations": {REF_NAME: entry.name}} if entry.name else {})
            for entry in entries
        ]
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
        replace(f"{self.path}/index.json", encode(index))

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
        if not os.path.isdir(f"{self.path}/blobs/sha256"):
            make_directories(f"{self.path}/blobs/sha256")
        if not os.path.exists(f"{self.path}/oci-layout"):
            replace(f"{self.path}/oci-layout", encode({"imageLayoutVersion": "1.0.0"}))


def encode(value: Json) -> bytes:
    """JSON that is the same bytes for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def replace(path: str, data: bytes, *, durable: bool = True) -> None:
    """Write a file so that, after a crash or on a full disk, it is whole or as it was before.

    Without ``durable`` this holds for a killed process but not for a power cut.
    """
    draft = f"{path}.{os.getpid()}.new"
    try:
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(fd, rest) :]
            if durable:
                os.fsync(fd)  # else the new name may reach the disk before the new content
        finally:
            os.close(fd)
        os.rename(draft, path)
    except OSError as error:
        import contextlib

        with contextlib.suppress(OSError):  # not there, or on a disk that cannot be written
            os.unlink(draft)
        raise Failure(f"{path}: {os.strerror(error.errno or 0)}") from None

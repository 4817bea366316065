"""Archives for tests, made by Python's tarfile and not by our own code; and trees to compare."""

import hashlib
import io
import os
import tarfile
from pathlib import Path
from typing import Any


class Tar:
    """An archive that is written entry by entry; names may be as bad as a test wants them."""

    def __init__(self, form: int = tarfile.PAX_FORMAT) -> None:
        self._bytes = io.BytesIO()
        self._tar = tarfile.open(  # noqa: SIM115
            fileobj=self._bytes, mode="w", format=form, errors="surrogateescape"
        )

    def add(self, name: str, data: bytes = b"", **fields: Any) -> "Tar":
        entry = tarfile.TarInfo(name)
        entry.mode, entry.mtime = 0o644, 1_500_000_000
        for field, value in fields.items():
            setattr(entry, field, value)
        entry.size = len(data)
        self._tar.addfile(entry, io.BytesIO(data))
        return self

    def directory(self, name: str, **fields: Any) -> "Tar":
        return self.add(name, b"", **({"type": tarfile.DIRTYPE, "mode": 0o755} | fields))

    def symlink(self, name: str, target: str) -> "Tar":
        return self.add(name, type=tarfile.SYMTYPE, linkname=target, mode=0o777)

    def hard_link(self, name: str, target: str) -> "Tar":
        return self.add(name, type=tarfile.LNKTYPE, linkname=target)

    def bytes(self) -> bytes:
        self._tar.close()
        return self._bytes.getvalue()

    def write(self, path: Path) -> Path:
        path.write_bytes(self.bytes())
        return path


def tree(top: Path) -> dict[bytes, tuple[Any, ...]]:
    """All that a directory holds, by name: kind, mode, owner, time, content, attributes, links."""
    found: dict[bytes, tuple[Any, ...]] = {}
    first: dict[int, bytes] = {}
    names = [os.fsencode(top)]
    for directory, below, files in os.walk(os.fsencode(top)):
        names += [os.path.join(directory, name) for name in (*below, *files)]
    for name in sorted(names):
        status = os.lstat(name)
        relative = os.path.relpath(name, os.fsencode(top))
        content: object = None
        if os.path.islink(name):
            content = os.readlink(name)
        elif os.path.isfile(name):
            with open(name, "rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
        attributes = {key: _attribute(name, key) for key in _attributes(name)}
        same_file = first.setdefault(status.st_ino, relative)
        found[relative] = (
            oct(status.st_mode),
            (status.st_uid, status.st_gid, status.st_nlink),
            status.st_mtime_ns,
            status.st_rdev,
            content,
            attributes,
            same_file,
        )
    return found


def _attributes(name: bytes) -> list[str]:
    return sorted(os.listxattr(name, follow_symlinks=False))


def _attribute(name: bytes, key: str) -> bytes:
    return os.getxattr(name, key, follow_symlinks=False)

"""The repository as it is in the working tree, packed for the VM.

What is tested is what is being edited: tracked files with their changes, and new files that
.gitignore does not exclude (git-ls-files(1)).
"""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

from vm.errors import VmError

ROOT = Path(__file__).resolve().parent.parent
# The project's set-up is valid for one modification time of pyproject.toml. The image is chosen by
# the content that matters for the set-up, so in the VM the time is always the same.
PYPROJECT_TIME = 1_000_000_000
_NOT_OURS = {"__pycache__", ".git", ".venv", "build", "dist"}


def file_names(root: Path = ROOT) -> list[str]:
    """The names of the repository's files, relative to its root, in order."""
    if not (root / ".git").exists():  # unpacked from an archive: everything is ours
        return sorted(
            str((Path(folder) / name).relative_to(root))
            for folder, folders, names in os.walk(root)
            # os.walk goes on only into what stays in this list
            if folders.__setitem__(slice(None), [f for f in folders if f not in _NOT_OURS]) is None
            for name in names
        )
    # Under sudo the checkout belongs to somebody else and git refuses to look at it; here it is
    # only read, so trusting it for this one call is safe.
    command = ["git", "-c", "safe.directory=*", "-C", str(root), "ls-files", "-z"]
    command += ["--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, capture_output=True, check=False)
    if listing.returncode != 0:
        raise VmError(f"git ls-files in {root} failed: {listing.stderr.decode().strip()}")
    return sorted(set(filter(None, listing.stdout.decode().split("\0"))))


def pack(root: Path = ROOT) -> int:
    """Pack the repository as a tar into a file that lives in memory; return its descriptor.

    It never has a name, so there is nothing to clean up whatever happens to us (memfd_create(2)).
    """
    descriptor = os.memfd_create("repository.tar", os.MFD_CLOEXEC)
    with (
        os.fdopen(os.dup(descriptor), "wb") as target,
        tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name in file_names(root):
            if os.path.lexists(root / name):  # a deleted file is still listed by git
                archive.add(root / name, arcname=name, recursive=False, filter=_as_in_the_vm)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _as_in_the_vm(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    if member.name == "pyproject.toml":
        member.mtime = PYPROJECT_TIME
    return member

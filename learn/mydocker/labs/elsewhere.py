"""``--vm``: check or grade in a virtual machine, what one does not trust at all.

The same commands run in there, in a copy of this repository; what a check breaks there is thrown
away with the machine. The submissions go in on standard input, as a tar of what can matter: their
Python files, their manifest and their record. Links are left out: they would lead to files here.
"""

import io
import json
import os
import shlex
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence

from mydocker.kernel.errors import Failure
from mydocker.labs import regions
from mydocker.labs.copies import RECORD
from mydocker.labs.manifest import MANIFEST

# As vm/agent.py has it, where vm/run unpacks the repository
_REPOSITORY = "/root/mydocker"
_PLACE = "/root/submissions"
_LARGEST = 4 << 20  # bytes of one file: ours have some ten thousand
_TOPS = ("steps", "tests", "labs")


def run(repository: str, directories: Sequence[str], words: Sequence[str | int]) -> int:
    """Run ``mydocker lab`` with ``words`` in the virtual machine; the exit code.

    A number among them stands for the place in there of that one of ``directories``.
    """
    program = os.path.join(repository, "vm", "run")
    if not os.path.exists(program):
        raise Failure(f"{program}: no such file", "A virtual machine needs the whole repository")
    places = [f"{_PLACE}/{number}/{_name(one)}" for number, one in enumerate(directories)]
    command = shlex.join(
        ["./mydocker", "lab", *(w if isinstance(w, str) else places[w] for w in words)]
    )
    script = f"mkdir {_PLACE} && tar -x -C {_PLACE} && exec {command} </dev/null"
    with os.fdopen(os.memfd_create("submissions"), "w+b") as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            for number, directory in enumerate(directories):
                _add(archive, f"{number}/{_name(directory)}", directory)
        file.seek(0)
        sys.stdout.flush()
        argv = [sys.executable, program, "--no-build", "--", "sh", "-c", script]
        return subprocess.run(argv, stdin=file, check=False).returncode


def _name(directory: str) -> str:
    return os.path.basename(os.path.abspath(directory))


def _add(archive: tarfile.TarFile, name: str, directory: str) -> None:
    """What of ``directory`` can matter, and that it is there."""
    _directory(archive, name)
    for place, inside in _places(directory):
        top = f"{name}/{inside}" if inside else name
        for path in _files(place):
            with open(os.path.join(place, path), "rb") as file:
                data = file.read(_LARGEST)
            if path == RECORD:
                data = _moved(data)
            member = tarfile.TarInfo(f"{top}/{path}")
            member.size, member.mode = len(data), 0o644
            archive.addfile(member, io.BytesIO(data))


def _directory(archive: tarfile.TarFile, name: str) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.mode = tarfile.DIRTYPE, 0o755
    archive.addfile(member)


def _places(directory: str) -> Iterator[tuple[str, str]]:
    """The directory, and if it has only one folder (as archives are unpacked) that one, too."""
    yield directory, ""
    inner = [one for one in os.scandir(directory) if one.is_dir(follow_symlinks=False)]
    if len(inner) == 1 and inner[0].name not in _TOPS:
        yield inner[0].path, inner[0].name


def _files(directory: str) -> Iterator[str]:
    for name in (MANIFEST, RECORD):
        path = os.path.join(directory, name)
        if os.path.isfile(path) and not os.path.islink(path):
            yield name
    for top in _TOPS:
        place = os.path.join(directory, top)
        if not os.path.islink(place):
            yield from (f"{top}/{path}" for path in regions.sources(place))


def _moved(record: bytes) -> bytes:
    """The record of a copy, whose repository is another one in there."""
    try:
        told = json.loads(record)
        return json.dumps({**told, "repository": _REPOSITORY}).encode()
    except (ValueError, TypeError):
        return record  # it is told there that it makes no sense

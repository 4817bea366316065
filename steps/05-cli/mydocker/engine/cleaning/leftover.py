"""A thing that nobody needs any more, and where to look for such things."""

from collections.abc import Callable

from mydocker.kernel.records import record

_ID_LENGTH = 64


@record
class Place:
    """Where containers are kept: data below ``root``, records of what runs below ``run``."""

    root: str
    run: str


@record
class Leftover:
    """One thing that nobody needs: its kind, its name, its bytes on the disk, and how it goes."""

    kind: str
    name: str
    release: Callable[[], object]
    space: int = 0

    def __str__(self) -> str:
        return f"{self.kind} {self.name[:12] if is_id(self.name) else self.name}"


def is_id(name: str) -> bool:
    """Is it called as containers are?"""
    return len(name) == _ID_LENGTH and not name.strip("0123456789abcdef")

"""v2's ``memory.low``: it protects a group only as far as the groups above it are protected.

"If the sum of what children ask is more than the parent has, they get their part of it"
(cgroup-v2.rst, memory.low): below a parent with 0, none has any. So each group of ours above one
with a reservation is given the sum of those in it.
"""

import os

from mydocker.cgroups.cgroup import Cgroup, names_below
from mydocker.cgroups.hierarchy import V2
from mydocker.kernel import files
from mydocker.kernel.errors import KernelError

_FILE = "memory.low"
_ATTEMPTS = 20


def pass_down(group: Cgroup, top: str) -> None:
    """Give the groups above ``group``, up to ``top``, what those in them have together.

    May be called when ``group`` is gone already. Groups above ``top`` belong to others: what they
    do not have, nobody below can be given.
    """
    where = group.hierarchy_of("memory")
    if where is None or where.version != V2:
        return
    path = os.path.dirname(group.path)
    while path == top or path.startswith(f"{top}/"):
        _sum_up(where.directory(path))
        path = os.path.dirname(path)


def _sum_up(directory: str) -> None:
    """Until nobody else has changed one meanwhile: who writes last has seen all."""
    try:
        for _ in range(_ATTEMPTS):
            wanted = sum(_low(f"{directory}/{name}") for name in names_below(directory) or ())
            if _low(directory) == wanted:
                return
            why = "the groups in it are protected only as far as it is"
            files.write(f"{directory}/{_FILE}", str(wanted), why=why)
    except KernelError:
        if os.path.isdir(directory):
            raise


def _low(directory: str) -> int:
    try:
        text = files.read(f"{directory}/{_FILE}").strip()
    except KernelError:  # gone, or the controller was not handed on to it
        return 0
    return 1 << 62 if text == "max" else int(text)

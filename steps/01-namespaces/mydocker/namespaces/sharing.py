"""The host's namespace, or that of another container, in place of a new one."""

from collections.abc import Callable

from mydocker.container.parts import Part
from mydocker.container.processes import Identity
from mydocker.kernel.errors import Invalid, NotFound
from mydocker.kernel.records import record
from mydocker.namespaces.specification import HOST, SHARED, Namespaces

# Whose each kind may be, besides the container's own
MODES = {
    "pid": ("host", "container:NAME"),
    "ipc": ("private", "host", "container:NAME"),
    "uts": ("host",),
}


@record
class Shared:
    """The container whose namespaces are shared: what it is called, its process, its directory."""

    name: str
    process: Identity
    directory: str


Find = Callable[[str], Shared]


def checked_mode(kind: str, mode: str) -> str:
    """One of the forms, or "" for a namespace of its own. Raises Failure for anything else."""
    forms = MODES[kind]
    shared = mode.startswith(SHARED) and mode != SHARED and "container:NAME" in forms
    if mode and not shared and (mode not in forms or mode == "container:NAME"):
        raise Invalid(f"--{kind} {mode}: not a mode", f"Write {' or '.join(forms)}")
    return "" if mode == "private" else mode


def sharing_parts(asked: Namespaces, find: Find | None) -> list[Part]:
    """The parts that join the namespaces of others. ``find`` looks another container up."""
    if not asked.pid and not asked.ipc:
        return []
    from mydocker.namespaces.shared import HostMemory, SharedMemory, SharedPids, SharedShm

    parts: list[Part] = []
    for option, mode, part in (
        ("--pid", asked.pid, SharedPids),
        ("--ipc", asked.ipc, SharedMemory),
    ):
        if mode.startswith(SHARED):
            other = found(option, mode, find)
            parts.append(part(other.name, other.process.pid, other.process.start_time))
    if asked.ipc == HOST:
        parts.append(HostMemory())
    memory = [SharedShm(part) for part in parts if isinstance(part, HostMemory | SharedMemory)]
    return [*parts, *memory]


def found(option: str, mode: str, find: Find | None) -> Shared:
    """The container that a mode ``container:NAME`` names. Raises Failure."""
    if find is None:
        raise NotFound(f"{option} {mode}: no other container is known here")
    return find(mode.removeprefix(SHARED))

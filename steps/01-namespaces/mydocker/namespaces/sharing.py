"""``--pid``, ``--ipc``, ``--uts``: the host's namespace, or that of another container."""

from collections.abc import Callable, Mapping
from typing import Any

import click

from mydocker.container.parts import Part
from mydocker.kernel import syscalls
from mydocker.kernel.errors import Failure
from mydocker.namespaces.shared import HostMemory, SharedMemory, SharedPids, SharedShm

Options = Mapping[str, Any]
_HOST, _SHARED = "host", "container:"
_KINDS = {
    "pid": (syscalls.CLONE_NEWPID, ("host", "container:NAME")),
    "ipc": (syscalls.CLONE_NEWIPC, ("private", "host", "container:NAME")),
    "uts": (syscalls.CLONE_NEWUTS, ("host",)),
}

SHARING = [
    click.option(
        f"--{kind}",
        f"{kind}_mode",
        default="",
        metavar="|".join(forms),
        help=f"Whose {kind} namespace. Default: its own.",
    )
    for kind, (_, forms) in _KINDS.items()
]


def _mode(options: Options, kind: str) -> str:
    """One of the forms, or "". Raises Failure for anything else."""
    mode: str = options.get(f"{kind}_mode") or ""
    forms = _KINDS[kind][1]
    shared = mode.startswith(_SHARED) and mode != _SHARED and "container:NAME" in forms
    if mode and not shared and (mode not in forms or mode == "container:NAME"):
        raise Failure(f"--{kind} {mode}: not a mode", f"Write {' or '.join(forms)}")
    return "" if mode == "private" else mode


def sharing_flags(options: Options, flags: int) -> int:
    """``flags`` for clone3(2), without the namespaces that are shared."""
    for kind, (flag, _) in _KINDS.items():
        if _mode(options, kind):
            flags &= ~flag
    if options.get("hostname") and _mode(options, "uts"):
        raise Failure("conflicting options: hostname and the UTS mode", "Leave one of them out")
    return flags


def sharing_parts(options: Options, find: Callable[[str], Any] | None) -> list[Part]:
    """Parts that enter before the root's; see :func:`after_root`. ``find`` looks another up."""
    parts: list[Part] = []
    for kind, part in (("pid", SharedPids), ("ipc", SharedMemory)):
        mode = _mode(options, kind)
        if mode.startswith(_SHARED):
            if find is None:
                raise Failure(f"--{kind} {mode}: no other container is known here")
            other = find(mode.removeprefix(_SHARED))
            parts.append(part(other.name, other.process.pid, other.process.start_time))
    if _mode(options, "ipc") == _HOST:
        parts.append(HostMemory())
    return parts


def after_root(parts: list[Part]) -> list[Part]:
    """The parts that put in its place, inside the new root, what ``parts`` fetched before."""
    return [SharedShm(part) for part in parts if isinstance(part, HostMemory | SharedMemory)]

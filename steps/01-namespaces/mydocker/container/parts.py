"""A part of a container: one idea (a cgroup, a stack of layers, a network), in four moments.

=============  ==========================  ====================================================
moment         where, when                 for example
=============  ==========================  ====================================================
``prepare``    host, before the process    make the cgroup, mount the layers
``attach``     host, the process waits     write its uid map, move it into the cgroup
``enter``      the process, before exec    pivot_root, sethostname, give up privileges
``release``    host, after it is gone      remove the cgroup, unmount the layers
=============  ==========================  ====================================================

A part is a record whose fields say all that ``release`` needs, in JSON's types: it is written
to disk before ``prepare``, and after a crash another process rebuilds it from there and releases
it. So ``release`` must bear to be called twice, after half a ``prepare``, and by a process that
made nothing.
"""

from importlib import import_module
from typing import Any

from mydocker.kernel.errors import Failure
from mydocker.kernel.records import asdict, fields


class Part:
    """Does nothing in any moment; a subclass, a record, overrides the moments it needs.

    ``stage``: where it stands among the others, one of those in ``container.order``.
    """

    stage = ""  # without an annotation: it belongs to the class, and is no field of the record

    def prepare(self) -> None:
        """On the host, before the process exists."""

    def birthplace(self) -> str:
        """After ``prepare``: the directory of the v2 cgroup that the process is born in, or ""."""
        return ""

    def pid_namespace(self) -> tuple[int, str]:
        """After ``prepare``: the PID namespace to be born into, as a descriptor and a path, or -1.

        A process cannot move into one: only its children can be in it (setns(2)).
        """
        return -1, ""

    def hides(self) -> bool:
        """After ``prepare``: shall nobody trace the process, nor open its files in /proc, from the
        moment of its birth (PR_SET_DUMPABLE(2const))?"""
        return False

    def attach(self, pid: int) -> None:
        """On the host, while the process ``pid`` exists and waits."""

    def reach(self) -> None:
        """Inside the process, before the first part enters and the user may change: open what the
        container's root, if it is somebody else on the host, cannot reach by a path."""

    def enter(self) -> None:
        """Inside the process, before it becomes the command."""

    def descriptors(self) -> list[int]:
        """Asked after ``prepare``: files that must stay open as long as the process runs."""
        return []

    def epitaph(self) -> str:
        """On the host, after the process ended and before ``release``: a line to tell of its end.

        As that it was killed because its memory limit was reached; "" for nothing to tell.
        """
        return ""

    def release(self) -> None:
        """On the host, after the process is gone: undo what is there to undo."""


def saved(parts: list[Part]) -> list[dict[str, Any]]:
    """The parts that leave something on the host, those with a ``release``, as JSON."""
    leaving = [part for part in parts if type(part).release is not Part.release]
    return [_saved(part) for part in leaving]


def _saved(part: Part) -> dict[str, Any]:
    kind = type(part)
    return {"part": f"{kind.__module__}:{kind.__qualname__}", "fields": asdict(part)}


def rebuilt(states: list[dict[str, Any]]) -> list[Part]:
    """The parts that :func:`saved` wrote, able to release. Raises Failure for anything else."""
    return [_rebuilt(state) for state in states]


def _rebuilt(state: dict[str, Any]) -> Part:
    name = str(state.get("part"))
    module, _, kind = name.partition(":")
    if not module.startswith("mydocker."):  # the file is ours, but it will not load just anything
        raise Failure(f"saved part {name}: not one of mydocker's")
    try:
        found = getattr(import_module(module), kind, None)
        if not isinstance(found, type) or not issubclass(found, Part):  # before it is called
            raise Failure(f"saved part {name}: not a part")
        # A version before ours may have had more fields: what ours needs for its end is among them.
        known = {key: value for key, value in state["fields"].items() if key in fields(found)}
        part: Part = found(**known)
    except ImportError:  # of another version of ours
        raise Failure(f"saved part {name}: not a part") from None
    except (AttributeError, KeyError, TypeError, ValueError):
        raise Failure(f"saved part {name}: not what was written there") from None
    return part

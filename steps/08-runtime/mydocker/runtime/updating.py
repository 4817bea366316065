"""``update``: other limits for a container that is there, from JSON or from options."""

import sys
from typing import Any

from mydocker.cgroups import changing
from mydocker.kernel import whole
from mydocker.kernel.errors import Failure
from mydocker.kernel.records import asdict
from mydocker.runtime import records, resources
from mydocker.runtime.groups import group_of
from mydocker.runtime.reader import decoded
from mydocker.runtime.records import STOPPED, Store
from mydocker.runtime.specification import BlockIo, Cpu, Memory, Pids, Resources

# Where each option's value belongs
_NUMBERS: dict[str, tuple[str, str]] = {
    "blkio-weight": ("block_io", "weight"),
    "cpu-period": ("cpu", "period"),
    "cpu-quota": ("cpu", "quota"),
    "cpu-share": ("cpu", "shares"),
    "cpu-rt-period": ("cpu", "realtime_period"),
    "cpu-rt-runtime": ("cpu", "realtime_runtime"),
    "memory": ("memory", "limit"),
    "memory-reservation": ("memory", "reservation"),
    "memory-swap": ("memory", "swap"),
    "pids-limit": ("pids", "limit"),
}
_TEXTS = {"cpuset-cpus": ("cpu", "cpus"), "cpuset-mems": ("cpu", "mems")}
_KINDS: dict[str, Any] = {"block_io": BlockIo, "cpu": Cpu, "memory": Memory, "pids": Pids}


def from_file(path: str) -> Resources:
    """The resources in a file; ``-`` is standard input. Raises Failure."""
    if path == "-":
        told = whole.parse(sys.stdin.buffer.read(), "standard input")
    else:
        told = records.read_config(path)[1]
    return decoded(Resources, told, "")


def from_options(numbers: dict[str, int], texts: dict[str, str]) -> Resources:
    """The resources that options ask for; what is empty or 0 was not asked for."""
    values: dict[str, dict[str, Any]] = {}
    for name, value in {**numbers, **texts}.items():
        if value:
            kind, field = {**_NUMBERS, **_TEXTS}[name]
            values.setdefault(kind, {})[field] = value
    return Resources(**{kind: _KINDS[kind](**fields) for kind, fields in values.items()})


def _told(asked: Resources) -> dict[str, Any]:
    """The limits that were said; None for what was said to be without limit."""
    limits, memory = resources.limits_of(asked), asked.memory
    told = {name: value for name, value in asdict(limits).items() if value not in (None, (), False)}
    told.pop("devices", None)
    if memory is not None and (memory.limit or 0) < 0:
        told["memory"] = None
    if memory is None or not memory.swap:
        told.pop("memory_swap", None)
    return told


def update(store: Store, identifier: str, asked: Resources) -> None:
    """Give the container these limits; of what is not said it keeps what it has. Raises Failure."""
    limits = _told(asked)
    with store.changing(identifier) as container:
        if store.status(container) == STOPPED:
            raise Failure("container not running")
        group = group_of(container)
        before = changing.held(group)
        changing.change(group, before, before.changed(limits), group.path)
        more = list(resources.settings_of(asked, group.machine))
        group.create(frozenset(one.controller for one in more))
        group.apply(more)

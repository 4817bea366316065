"""The control group of a container that runs."""

from typing import Any

from mydocker.cgroups.cgroup import Cgroup
from mydocker.cgroups.part import CgroupPart
from mydocker.container import state as records
from mydocker.container.parts import rebuilt
from mydocker.engine.errors import NotRunning
from mydocker.engine.records.store import Store
from mydocker.kernel.errors import Failure


def group_of(store: Store, identifier: str) -> Cgroup:
    """Its group. Raises NotRunning if it has none."""
    part = group_part(store, identifier)
    if part is None:
        raise NotRunning(identifier)
    return part.group()


def group_part(store: Store, identifier: str) -> CgroupPart | None:
    """The part that made its group; None if it does not run, or runs without one."""
    try:
        record = records.read(store.run, identifier)
        groups = [one for one in record.parts if _is_group(one)] if record else []
        parts = rebuilt(groups)  # and no other part: that costs imports
    except Failure:  # damaged
        from mydocker.engine import evidence

        parts = evidence.parts_of(store, identifier)
    return next((part for part in parts if isinstance(part, CgroupPart)), None)


def _is_group(saved: dict[str, Any]) -> bool:
    return str(saved.get("part")).endswith(":CgroupPart")

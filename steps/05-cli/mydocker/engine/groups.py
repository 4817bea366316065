"""The control group of a container that runs."""

from mydocker.cgroups.cgroup import Cgroup
from mydocker.cgroups.part import CgroupPart
from mydocker.container import state as records
from mydocker.container.parts import rebuilt
from mydocker.engine.errors import NotRunning
from mydocker.engine.store import Store


def group_of(store: Store, identifier: str) -> Cgroup:
    """Its group. Raises NotRunning if it has none."""
    part = group_part(store, identifier)
    if part is None:
        raise NotRunning(identifier)
    return part.group()


def group_part(store: Store, identifier: str) -> CgroupPart | None:
    """The part that made its group; None if it does not run, or runs without one."""
    record = records.read(store.run, identifier)
    for saved in record.parts if record else []:
        if saved["part"].endswith(":CgroupPart"):
            (part,) = rebuilt([saved])
            assert isinstance(part, CgroupPart)
            return part
    return None

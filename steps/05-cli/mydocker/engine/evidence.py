"""What the kernel and the run directory tell of a container whose own files cannot be read.

A file that is empty, half or garbage says nothing of what runs. But a container that runs has left
traces that no file can hide: the record of its parts under ``<run>/<id>``, with pids and the times
of their starts; its monitor's socket, whose other end the kernel names (SO_PEERCRED, unix(7)); the
monitor's child; the control group, the mount and the links, which all carry its id. What these say
outweighs what a file says.
"""

import os

from mydocker.container import state as records
from mydocker.container.leftovers import end, release_parts
from mydocker.container.parts import Part, rebuilt
from mydocker.container.processes import Identity, identify
from mydocker.engine import connection
from mydocker.engine.records.config import Config
from mydocker.engine.records.state import NOBODY, PAUSED, RESTARTING, RUNNING, State, boot_id
from mydocker.engine.records.store import Store, listed
from mydocker.engine.words.times import NEVER, text
from mydocker.kernel.errors import Failure
from mydocker.kernel.whole import Damaged


def recall(store: Store, identifier: str) -> State | None:
    """The state of a container that runs, by what the kernel tells; None if nobody watches it."""
    record = record_of(store, identifier)
    monitor = monitor_of(store, identifier)
    if not monitor.alive():
        monitor = record.owner if record else NOBODY
    if not monitor.alive():
        return None
    process = record.process if record else NOBODY
    if not process.alive():
        process = child_of(monitor)
    if not process.alive():
        return State(RESTARTING, monitor=monitor, boot=boot_id())
    status = PAUSED if _frozen(store, identifier) else RUNNING
    return State(status, process, monitor, started=_time_of(process), boot=boot_id())


def record_of(store: Store, identifier: str) -> records.State | None:
    """The record of its parts; None if there is none, or none that could be read."""
    try:
        return records.read(store.run, identifier)
    except Damaged:
        return None


def monitor_of(store: Store, identifier: str) -> Identity:
    """Who listens at its monitor's socket; nobody if nobody does."""
    socket = connection.connect(store, identifier)
    if socket is None:
        return NOBODY
    try:
        return connection.peer(socket)
    finally:
        socket.close()


def child_of(monitor: Identity) -> Identity:
    """The first process of the container: the only child that a monitor has."""
    for name in filter(str.isdecimal, listed("/proc")):
        try:
            with open(f"/proc/{name}/stat", "rb", buffering=0) as file:
                fields = file.readall().rpartition(b")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == monitor.pid and (found := identify(int(name))).alive():
            return found
    return NOBODY


def _time_of(process: Identity) -> str:
    """When it started: its start time counts clock ticks after the machine's."""
    try:
        with open("/proc/uptime") as file:  # 5213.18 9981.07
            since = float(file.read().split()[0]) - process.start_time / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return NEVER
    import time

    return text(time.time_ns() - int(since * 10**9))


def _frozen(store: Store, identifier: str) -> bool:
    from mydocker.cgroups import freezer
    from mydocker.cgroups.part import CgroupPart

    groups = [part for part in parts_of(store, identifier) if isinstance(part, CgroupPart)]
    return any(freezer.frozen(part.group()) for part in groups)


# ---------------------------------------------------------------- what is to be released


def parts_of(store: Store, identifier: str) -> list[Part]:
    """The parts of a container that leave something on the host, as its record has them.

    Of one whose record cannot be read, those that every container may have, found by its id: what
    is not there does no harm to a release.
    """
    try:
        record = records.read(store.run, identifier)
        return rebuilt(record.parts) if record else []
    except Failure:
        return _by_id(store, identifier)


def _by_id(store: Store, identifier: str) -> list[Part]:
    from mydocker.cgroups.limits import Limits
    from mydocker.cgroups.part import cgroup_part
    from mydocker.network.part import NetworkPart
    from mydocker.overlay2.part import LayersPart

    known = _known(store, identifier)
    parent = known.cgroup_parent if known else ""
    return [
        cgroup_part(identifier, Limits(), parent),
        # The layer of a container goes with the container, and with nothing else.
        LayersPart(store.root, identifier, keep=known is not None),
        NetworkPart(identifier, "", store.root, store.run, []),
    ]


def _known(store: Store, identifier: str) -> Config | None:
    """None for one of an earlier step, which is nothing but a run."""
    try:
        return store.known(identifier)
    except Failure:
        return None


def release(store: Store, identifier: str) -> list[Failure]:
    """Release what a dead monitor left of its container; what could not be released."""
    if record := record_of(store, identifier):
        end(record)
    return release_parts(store.run, identifier, parts_of(store, identifier))

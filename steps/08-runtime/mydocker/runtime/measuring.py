"""``events``: what a container uses, as numbers with runc's names (libcontainer's ``types``)."""

import time
from collections.abc import Iterator
from typing import Any

from mydocker.cgroups import oom, statistics
from mydocker.runtime.groups import group_of
from mydocker.runtime.records import Container

_NO_LIMIT = (1 << 63) - 4096  # v1's word for none: the largest number of whole pages


def stats(container: Container) -> dict[str, Any]:
    """One event of the kind ``stats``."""
    told = statistics.of(group_of(container))
    memory = {
        "limit": _NO_LIMIT if told.memory_limit is None else told.memory_limit,
        "usage": told.memory or 0,
        "max": told.memory_peak or 0,
        "failcnt": told.memory_failures or 0,
    }
    pids: dict[str, int] = {"current": told.pids or 0}
    if told.pids_limit is not None:
        pids["limit"] = told.pids_limit
    data = {
        "cpu": {
            "usage": {
                "total": told.cpu or 0,
                "kernel": told.cpu_system or 0,
                "user": told.cpu_user or 0,
            },
            "throttling": {
                "periods": told.periods or 0,
                "throttledPeriods": told.throttled or 0,
                "throttledTime": told.throttled_time or 0,
            },
        },
        "memory": {"cache": told.memory_cache or 0, "usage": memory},
        "pids": pids,
        "blkio": _blkio(told),
    }
    return {"type": "stats", "id": container.id, "data": data}


def _blkio(told: statistics.Statistics) -> dict[str, Any]:
    if told.read_bytes is None:
        return {}
    return {
        "ioServiceBytesRecursive": [
            {"op": "Read", "value": told.read_bytes},
            {"op": "Write", "value": told.written_bytes or 0},
        ],
        "ioServicedRecursive": [
            {"op": "Read", "value": told.reads or 0},
            {"op": "Write", "value": told.writes or 0},
        ],
    }


def events(container: Container, interval: float) -> Iterator[dict[str, Any]]:
    """Its statistics again and again, and each time the OOM killer came, until it ends."""
    killed = oom.oom_kills(group_of(container))
    while container.alive():
        now = oom.oom_kills(group_of(container))
        if now > killed:
            yield {"type": "oom", "id": container.id}
        killed = now
        yield stats(container)
        time.sleep(interval)

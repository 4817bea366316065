"""``xray``: all that makes a running container, read from the kernel as it is now.

Nothing here comes from what was asked for: namespaces, limits, mounts, capabilities are what the
kernel says of the container's first process. As data in JSON's types; ``cli.xray`` draws it.
"""

from mydocker.cgroups import statistics
from mydocker.engine.errors import NotRunning
from mydocker.engine.groups import group_part
from mydocker.engine.records.config import Config, Json
from mydocker.engine.records.store import Store
from mydocker.engine.truth import look
from mydocker.kernel import files
from mydocker.kernel.errors import Failure
from mydocker.kernel.records import asdict
from mydocker.namespaces import survey
from mydocker.network.store import Store as Networks
from mydocker.overlay2.diff import contents
from mydocker.overlay2.layers import LayerStore
from mydocker.security import capabilities

_SECCOMP = ("off", "strict", "filter")


def xray(store: Store, word: str) -> Json:
    """A container that runs. Raises NoSuchContainer, NotRunning."""
    identifier = store.find(word)
    config, state = store.config(identifier), look(store, identifier)
    if not state.up:
        raise NotRunning(identifier)
    pid = state.process.pid
    portrait = survey.portrait(pid)
    return {
        "id": config.id,
        "name": config.name,
        "image": config.image,
        "command": list(config.process.arguments),
        "status": state.status,
        "started": state.started,
        "pid": pid,
        "monitor": state.monitor.pid,
        "namespaces": [asdict(one) for one in portrait.namespaces],
        "maps": {"uid": [asdict(m) for m in portrait.uid_map],
                 "gid": [asdict(m) for m in portrait.gid_map]},
        "cgroup": _cgroup(store, config),
        "layers": _layers(store, config),
        "mounts": mounts(pid),
        "network": _network(store, config),
        "security": security(pid),
        "processes": [asdict(member) for member in portrait.members],
    }  # fmt: skip


def _cgroup(store: Store, config: Config) -> Json:
    """Its group's path, and each limit beside what is used of it now."""
    part = group_part(store, config.id)
    if part is None:
        return {"path": "", "use": []}
    group = part.group()
    now = statistics.of(group)
    rows = [
        ("memory", "bytes", now.memory, now.memory_limit),
        ("memory peak", "bytes", now.memory_peak, None),
        ("tasks", "count", now.pids, now.pids_limit),
        ("cpu time", "nanoseconds", now.cpu, None),
        ("cpu throttled", "nanoseconds", now.throttled_time, None),
        ("read", "bytes", now.read_bytes, None),
        ("written", "bytes", now.written_bytes, None),
        ("killed for memory", "count", now.oom_kills, None),
    ]
    asked = {name: value for name, value in asdict(part.limits).items()
             if value not in (None, (), [], False)}  # fmt: skip
    return {
        "path": part.path,
        "asked": asked,
        "use": [
            {"what": what, "unit": unit, "used": used, "limit": limit}
            for what, unit, used, limit in rows
            if used is not None
        ],
    }


def _layers(store: Store, config: Config) -> list[Json]:
    """From the top, the container's own, down to the image's lowest."""
    layers = LayerStore(store.root)
    stack = layers.stack(config.id)
    found = []
    for number, layer in enumerate(stack):
        counted = contents(layer.diff)
        found.append(
            {
                "id": layer.id,
                "writable": number == 0,
                "files": counted.files,
                "size": counted.size,
                "whiteouts": counted.whiteouts,
                "directory": layer.diff,
            }
        )
    return found


def mounts(pid: int) -> list[Json]:
    """What is mounted in its mount namespace, in order (proc_pid_mountinfo(5)).

    A line is ``36 35 98:0 /top /data rw,noatime master:1 - ext3 /dev/root rw,errors=continue``.
    """
    found = []
    for line in files.read(f"/proc/{pid}/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        fields, (kind, source, *_) = left.split(), right.split()
        options = fields[5].split(",")
        found.append(
            {
                "target": _unescaped(fields[4]),
                "type": kind,
                "source": _unescaped(source),
                "root": _unescaped(fields[3]),
                "read_only": "ro" in options,
                "options": options,
            }
        )
    return found


def _unescaped(text: str) -> str:
    r"""Spaces and the like are written as ``\040``."""
    return text.encode().decode("unicode_escape") if "\\" in text else text


def _network(store: Store, config: Config) -> list[Json]:
    """Each cable: from its interface to the host's bridge, and the ports that lead to it."""
    networks = Networks(store.root, store.run)
    return [
        {
            "network": network.name,
            "bridge": network.bridge,
            "link": endpoint.link,
            "interface": endpoint.interface,
            "mac": endpoint.mac,
            "addresses": endpoint.addresses,
            "gateway": network.gateway,
            "ports": [asdict(port) for port in endpoint.ports],
        }
        for network, endpoint in networks.attached(config.id)
    ]


def security(pid: int) -> Json:
    """Capabilities, seccomp, no_new_privs of a process, from its status file."""
    lines = files.read(f"/proc/{pid}/status").splitlines()
    told = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def names(field: str) -> list[str]:
        return list(capabilities.named(int(told.get(field, "0"), 16)))

    mode = int(told.get("Seccomp", "0"))
    return {
        "user": told.get("Uid", "").split()[:1],
        "effective": names("CapEff"),
        "permitted": names("CapPrm"),
        "bounding": names("CapBnd"),
        "seccomp": _SECCOMP[mode] if mode < len(_SECCOMP) else str(mode),
        "seccomp_filters": int(told.get("Seccomp_filters", "0")),
        "no_new_privileges": told.get("NoNewPrivs") == "1",
        "apparmor": _confinement(pid),
    }


def _confinement(pid: int) -> str:
    try:
        return files.read(f"/proc/{pid}/attr/current").rstrip("\0")
    except Failure:
        return ""

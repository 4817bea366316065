"""What only looks: ``state``, ``list``, ``ps``, and the defaults that ``spec`` writes."""

import os
from typing import Any

from mydocker.kernel.errors import Failure
from mydocker.runtime.life import told_state
from mydocker.runtime.records import CREATED, PAUSED, RUNNING, STOPPED, Container, Store


def status_of(store: Store, container: Container) -> str:
    """The word for it, ``paused`` among them."""
    status = store.status(container)
    if status not in (CREATED, RUNNING):
        return status
    from mydocker.runtime.groups import paused

    return PAUSED if paused(container) else status


def state(store: Store, container: Container) -> dict[str, Any]:
    """As ``state`` shows it: runc's keys in runc's order."""
    status = status_of(store, container)
    pid = 0 if status == STOPPED else container.process.pid
    told = told_state(container, status, pid)
    annotations = told.pop("annotations", None)
    version, identifier = told.pop("ociVersion"), told.pop("id")
    shown = {
        "ociVersion": version,
        "id": identifier,
        "pid": pid,
        "status": status,
        "bundle": container.bundle,
        "rootfs": container.rootfs,
        "created": container.created,
    }
    if annotations:
        shown["annotations"] = annotations
    return {**shown, "owner": ""}


def listed(store: Store) -> list[dict[str, Any]]:
    """The state of every container; one that ends just now, or cannot be read, is left out."""
    found = []
    for identifier in store.ids():
        try:
            container = store.find(identifier)
            owner = _name(os.stat(store.directory(identifier)).st_uid)
            found.append({**state(store, container), "owner": owner})
        except (Failure, FileNotFoundError):
            continue
    return found


def _name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def pids(container: Container) -> list[int]:
    """All processes of a container. Raises Failure for one without a control group."""
    from mydocker.runtime.groups import group_of

    if not container.group:
        raise Failure("container has no control group")
    return group_of(container).processes()


def processes(container: Container, options: list[str]) -> str:
    """What ps(1) with ``options`` says of the container's processes. Raises Failure."""
    import subprocess

    known = {str(pid) for pid in pids(container)}
    words = ["ps", *(options or ["-ef"])]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise Failure("ps: executable file not found in $PATH") from None
    if done.returncode:
        raise Failure(f"exit status {done.returncode}: {done.stderr.strip()}")
    head, *lines = done.stdout.splitlines()
    titles = head.split()
    if "PID" not in titles:
        raise Failure("couldn't find PID field in ps output")
    place = titles.index("PID")
    kept = [
        line for line in lines if line.split()[place : place + 1] and line.split()[place] in known
    ]
    return "".join(f"{line}\n" for line in [head, *kept])


# ---------------------------------------------------------------- spec

_CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def _mount(destination: str, kind: str, source: str, *options: str) -> dict[str, Any]:
    told: dict[str, Any] = {"destination": destination, "type": kind, "source": source}
    return {**told, "options": list(options)} if options else told


def default_spec() -> dict[str, Any]:
    """A config.json to begin with: a shell, as runc's ``spec`` gives it."""
    from mydocker.overlay2.plan import MASKED, READ_ONLY

    safe = ("nosuid", "noexec", "nodev")
    sets = ("bounding", "effective", "permitted", "ambient")
    return {
        "ociVersion": "1.0.2-dev",
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": [f"PATH={_PATH}", "TERM=xterm"],
            "cwd": "/",
            "capabilities": dict.fromkeys(sets, _CAPABILITIES),
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "runc",
        "mounts": [
            _mount("/proc", "proc", "proc"),
            _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
            _mount(
                "/dev/pts", "devpts", "devpts",
                "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5",
            ),
            _mount("/dev/shm", "tmpfs", "shm", *safe, "mode=1777", "size=65536k"),
            _mount("/dev/mqueue", "mqueue", "mqueue", *safe),
            _mount("/sys", "sysfs", "sysfs", *safe, "ro"),
            _mount("/sys/fs/cgroup", "cgroup", "cgroup", *safe, "relatime", "ro"),
        ],
        "linux": {
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")],
            "maskedPaths": [path for path in MASKED if path not in _NOT_RUNCS],
            "readonlyPaths": list(READ_ONLY),
        },
    }  # fmt: skip


_NOT_RUNCS = ("/proc/asound", "/proc/interrupts", "/sys/devices/virtual/powercap")


def rootless_spec(uid: int, gid: int) -> dict[str, Any]:
    """The same for a user who is not root: root inside is that user."""
    spec = default_spec()
    spec["mounts"] = [
        _mount("/sys", "none", "/sys", "rbind", "nosuid", "noexec", "nodev", "ro")
        if mount["destination"] == "/sys"
        else {**mount, "options": [o for o in mount.get("options", []) if o != "gid=5"]}
        for mount in spec["mounts"]
        if mount["type"] != "cgroup"
    ]
    linux = spec["linux"]
    del linux["resources"]
    linux["namespaces"] = [one for one in linux["namespaces"] if one["type"] != "network"]
    linux["namespaces"].append({"type": "user"})
    linux["uidMappings"] = [{"containerID": 0, "hostID": uid, "size": 1}]
    linux["gidMappings"] = [{"containerID": 0, "hostID": gid, "size": 1}]
    return spec

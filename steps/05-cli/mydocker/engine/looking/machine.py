"""What ``info`` and ``version`` tell: of mydocker, and of the machine that it runs on."""

import os
from typing import Any

from mydocker.cgroups import hierarchy
from mydocker.engine.records.state import PAUSED, RUNNING
from mydocker.engine.records.store import Store
from mydocker.engine.truth import look
from mydocker.kernel.errors import Failure

VERSION = "0.1.0"
API = "1.41"  # of Docker's words: those of version 20.10


def version() -> dict[str, Any]:
    """In the shape of ``docker version``; we have no server: client and engine are one."""
    import platform

    machine = os.uname()
    return {
        "Client": {
            "Platform": {"Name": "mydocker"},
            "Version": VERSION,
            "ApiVersion": API,
            "Os": machine.sysname.lower(),
            "Arch": architecture(machine.machine),
            "PythonVersion": platform.python_version(),
            "KernelVersion": machine.release,
        },
        "Server": None,
    }


def architecture(machine: str) -> str:
    """Go's word for a machine."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def info(store: Store) -> dict[str, Any]:
    """In the shape of ``docker info``, as much of it as there is here."""
    from mydocker.overlay2.images import ImageStore

    states = list(_states(store))
    machine, cgroups = os.uname(), hierarchy.read()
    unified = bool(cgroups.unified) and os.path.exists("/sys/fs/cgroup/cgroup.controllers")
    return {
        "Containers": len(states),
        "ContainersRunning": states.count(RUNNING),
        "ContainersPaused": states.count(PAUSED),
        "ContainersStopped": len(states) - states.count(RUNNING) - states.count(PAUSED),
        "Images": len(ImageStore(store.root).all()),
        "Driver": "overlay2",
        "DriverStatus": [["Backing Filesystem", _filesystem(store.root)]],
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": "2" if unified else "1",
        "KernelVersion": machine.release,
        "OperatingSystem": _system(),
        "OSType": machine.sysname.lower(),
        "Architecture": machine.machine,
        "NCPU": os.cpu_count() or 1,
        "MemTotal": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "DockerRootDir": store.root,
        "RunDirectory": store.run,
        "Name": machine.nodename,
        "ServerVersion": VERSION,
        "SecurityOptions": ["name=seccomp,profile=default"],
    }


def _states(store: Store) -> list[str]:
    found = []
    for one in store.ids():
        try:
            found.append(look(store, one).status)
        except Failure:
            continue
    return found


def _system() -> str:
    try:
        with open("/etc/os-release") as file:
            lines = [line.partition("=") for line in file]
    except OSError:
        return "Linux"
    names = {key: value.strip().strip('"') for key, _, value in lines}
    return names.get("PRETTY_NAME", "Linux")


def _filesystem(path: str) -> str:
    """The kind of filesystem that ``path``, or what there is of it, lies on."""
    from mydocker.overlay2.mounting import filesystem_of

    while not os.path.exists(path):
        path = os.path.dirname(path)
    return filesystem_of(path)[0]

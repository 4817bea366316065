"""What is in the image, as data, and the keys that tell when an image has to be made anew.

Two layers: the base is Debian alone and changes rarely; the image adds the virtual environment
that ./mydocker setup --test makes, and follows the project's dependencies.
"""

from __future__ import annotations

import hashlib
import json
import platform
import tomllib
from dataclasses import dataclass
from pathlib import Path

from vm.errors import VmError

SUITE = "bookworm"
PYTHON = "3.11"  # the suite's


@dataclass(frozen=True)
class Architecture:
    """What differs between processors."""

    debian: str  # Debian's name of it
    kernel: str  # the package with the kernel
    qemu: str  # QEMU's program
    qemu_package: str  # and the package with it
    machine: str  # QEMU's -machine
    emulated: str  # QEMU's -cpu where it emulates: everything but what is slow for nothing
    parameters: str  # for the kernel: its console is the first serial port


# By the name that uname(1) gives to the machine.
ARCHITECTURES = {
    "x86_64": Architecture(
        "amd64", "linux-image-cloud-amd64", "qemu-system-x86_64", "qemu-system-x86", "pc",
        # Five-level page tables cost an emulated processor one more step at each walk. On a busy
        # host the timer comes so late that the kernel thinks it is broken, unless told not to look.
        "max,la57=off", "console=ttyS0 no_timer_check",
    ),
    "aarch64": Architecture(
        "arm64", "linux-image-cloud-arm64", "qemu-system-aarch64", "qemu-system-arm", "virt",
        # Signed pointers by the architecture's own cipher take half of an emulated processor.
        "max,pauth-impdef=on", "console=ttyAMA0",
    ),
}  # fmt: skip
IMAGE_SIZE = "12G"  # sparse: the file takes what is in it
REPOSITORY = "/root/mydocker"
VENV = "/var/lib/mydocker-venv"

PACKAGES = (
    # the machine: systemd as PID 1, udev because readers' machines have it
    "systemd-sysv", "udev", "kmod", "dbus",
    # what the README asks for, and what the set-up would install
    "python3", "python3-venv", "git", "ca-certificates", "sudo",
    "busybox-static", "iproute2", "nftables", "procps", "strace", "attr", "acl", "zstd", "xz-utils",
    # what the later steps and the tests use
    "debootstrap", "iptables", "iputils-ping", "iperf3", "libcap2-bin", "less", "make", "curl",
    "xfsprogs", "linux-libc-dev",
)  # fmt: skip

# Services that a machine living for minutes has no use for; each costs time at boot.
# Without systemd-udev-trigger, devices that are there at boot are not announced again; new ones
# (a veth, a bridge) reach udev as on any machine.
MASKED = (
    "systemd-udev-trigger.service", "systemd-logind.service", "systemd-random-seed.service",
    "systemd-update-utmp.service", "systemd-pstore.service", "systemd-firstboot.service",
    "systemd-journal-flush.service", "systemd-machine-id-commit.service",
    "getty.target", "getty@tty1.service", "serial-getty@ttyS0.service", "timers.target",
    "e2scrub_reap.service", "modprobe@drm.service", "modprobe@efi_pstore.service",
    "dev-hugepages.mount", "dbus.service", "dbus.socket", "remote-fs.target",
)  # fmt: skip

UNIT = f"""\
[Unit]
Description=Runs one command for vm/run

[Service]
# The repository comes on the second disk as a plain tar; tar stops at its end by itself.
ExecStartPre=/bin/tar -C {REPOSITORY} -xf /dev/vdb
ExecStart=/usr/bin/python3 -m vm.agent
WorkingDirectory={REPOSITORY}
# What goes wrong here is read in the console's log.
StandardOutput=tty
StandardError=tty
TTYPath=/dev/console
# A test that provokes an OOM kill below this service must not end the service.
OOMPolicy=continue
TasksMax=infinity

[Install]
WantedBy=multi-user.target
"""

HOSTS = "127.0.0.1 localhost mydocker-vm\n::1 localhost\n"


def architecture(name: str) -> Architecture:
    """The processor called `name`."""
    try:
        return ARCHITECTURES[name]
    except KeyError:
        known = ", ".join(ARCHITECTURES)
        raise VmError(f"no VM for {name}: this script knows {known}") from None


def base_key(name: str) -> str:
    """Names a base for a processor: changes with everything that it is made from."""
    return _digest(SUITE, name, architecture(name).kernel, *PACKAGES)


def image_key(root: Path, name: str = platform.machine()) -> str:
    """Names an image: the base, our own parts, and what the set-up will install."""
    here = Path(__file__).parent
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    return _digest(
        base_key(name),
        json.dumps([project["dependencies"], project.get("optional-dependencies")]),
        *(path.read_text() for path in (here / "image.py", here / "initrd.py", Path(__file__))),
        *(path.read_text() for path in (root / "setup.sh",) if path.exists()),
    )


def requirements(root: Path) -> list[str]:
    """What the set-up of the tests installs, from pyproject.toml, as setup.sh reads it."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    found, more = list(project["dependencies"]), list(extras["test"])
    while more:
        requirement = more.pop(0)
        inner = requirement.removeprefix(f"{project['name']}[").removesuffix("]")
        if inner == requirement:
            found.append(requirement)
        else:
            more += [one for name in inner.split(",") for one in extras[name]]
    return found


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

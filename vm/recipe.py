"""What is in the image, as data, and the keys that tell when an image has to be made anew.

Two layers: the base is Debian alone and changes rarely; the image adds the virtual environment
that ./mydocker setup --test makes, and follows the project's dependencies.
"""

from __future__ import annotations

import hashlib
import json
import platform
import tomllib
from pathlib import Path

from vm.errors import VmError

SUITE = "bookworm"
KERNELS = {"x86_64": "linux-image-cloud-amd64"}  # by machine, as uname(1) names it
IMAGE_SIZE = "12G"  # sparse: the file takes what is in it
REPOSITORY = "/root/mydocker"
VENV = "/var/lib/mydocker-venv"

PACKAGES = (
    # the machine: systemd as PID 1, udev because readers' machines have it
    "systemd-sysv", "udev", "kmod", "dbus",
    # what the README asks for, and what the set-up would install
    "python3", "python3-venv", "git", "ca-certificates", "sudo",
    "busybox-static", "iproute2", "nftables", "procps", "strace", "attr", "acl",
    # what the later steps and the tests use
    "debootstrap", "iptables", "iputils-ping", "iperf3", "libcap2-bin", "less", "make",
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


def kernel_package() -> str:
    """Debian's kernel package for this machine."""
    try:
        return KERNELS[platform.machine()]
    except KeyError:
        known = ", ".join(KERNELS)
        raise VmError(f"no VM for {platform.machine()}: this script knows {known}") from None


def base_key() -> str:
    """Names a base: changes with everything that it is made from."""
    return _digest(SUITE, platform.machine(), kernel_package(), *PACKAGES)


def image_key(root: Path) -> str:
    """Names an image: the base, our own parts, and what the set-up will install."""
    here = Path(__file__).parent
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    return _digest(
        base_key(),
        json.dumps([project["dependencies"], project.get("optional-dependencies")]),
        *(path.read_text() for path in (here / "image.py", here / "initrd.py", Path(__file__))),
        *(path.read_text() for path in (root / "setup.sh",) if path.exists()),
    )


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

"""The virtual machine as a QEMU process: its command line, its console, its port.

QEMU's manual page is qemu-system(1); the kernel's and systemd's boot parameters are in
Documentation/admin-guide/kernel-parameters.txt and systemd(1).
"""

from __future__ import annotations

import fcntl
import os
import platform
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from vm import lifeline, recipe, wire
from vm.errors import Crashed
from vm.image import Image

KVM_CREATE_VM = 0xAE01  # include/uapi/linux/kvm.h
KVM_CREATE_VCPU = 0xAE41

# What systemd 252 mounts on /sys/fs/cgroup, by kernel command line.
CGROUPS = {
    "v2": "systemd.unified_cgroup_hierarchy=1",
    "hybrid": "systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=0",
    "v1": "systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=1",
}

BOOT_SECONDS = {"kvm": 30, "tcg": 300}  # until the agent says hello; an emulated boot is slow
PATIENCE = {"kvm": "1", "tcg": "10"}  # how much longer than usual a test may take
KVM_FAILED = "kvm-failed"  # in the cache: the boot of this host on which kvm was tried in vain


@dataclass(frozen=True)
class Settings:
    """What the command line chose."""

    cgroup: str = "v2"
    memory: str = "2G"
    cpus: int = 2
    accelerator: str = "tcg"
    machine: str = "x86_64"  # the processor, as uname(1) names it


def kvm_works() -> bool:
    """Make a virtual machine with a processor and drop it: that the device exists says nothing."""
    try:
        device = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    opened = [device]
    try:
        opened.append(fcntl.ioctl(device, KVM_CREATE_VM, 0))
        opened.append(fcntl.ioctl(opened[1], KVM_CREATE_VCPU, 0))
        return True
    except OSError:
        return False
    finally:
        for descriptor in reversed(opened):
            os.close(descriptor)


def accelerators(cache: Path, machine: str) -> list[str]:
    """What to try, in order. A kvm that makes a processor may still fail to run it (nested)."""
    if machine != platform.machine():
        return ["tcg"]  # another processor than ours can only be emulated
    try:
        failed = (cache / KVM_FAILED).read_text() == _boot_of_host()
    except FileNotFoundError:
        failed = False
    return ["kvm", "tcg"] if kvm_works() and not failed else ["tcg"]


def remember_kvm_failed(cache: Path) -> None:
    """Do not try again until this host is booted anew."""
    if os.access(cache, os.W_OK):
        (cache / KVM_FAILED).write_text(_boot_of_host())


def _boot_of_host() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text()


def kernel_parameters(cgroup: str, processor: recipe.Architecture) -> str:
    """The kernel's command line. panic=-1 with QEMU's -no-reboot: a crash ends QEMU at once."""
    return (
        f"{processor.parameters} panic=-1 psi=1 loglevel=6 net.ifnames=0 "
        f"systemd.show_status=error {CGROUPS[cgroup]}"
    )


def qemu_command(
    settings: Settings, image: Image, repository: int, port: int, console: int
) -> list[str]:
    """QEMU's command line; the last three are descriptors that QEMU inherits."""
    kvm = settings.accelerator == "kvm"
    processor = recipe.architecture(settings.machine)
    return [
        processor.qemu,
        "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-machine", processor.machine, "-accel", "kvm" if kvm else "tcg,thread=multi",
        "-cpu", "host" if kvm else processor.emulated,
        "-m", settings.memory, "-smp", str(settings.cpus),
        "-kernel", str(image.kernel), "-initrd", str(image.initrd),
        "-append", kernel_parameters(settings.cgroup, processor),
        # snapshot=on: writes go to a temporary file that has no name and dies with QEMU.
        "-drive", f"file={image.disk},format=raw,if=virtio,snapshot=on,cache=unsafe",
        "-drive", f"file=/proc/self/fd/{repository},format=raw,if=virtio,readonly=on",
        "-chardev", f"file,id=console,path=/proc/self/fd/{console}",
        "-serial", "chardev:console",
        "-chardev", f"socket,id=port,fd={port}",
        "-device", "virtio-serial-pci",
        "-device", f"virtserialport,chardev=port,name={wire.PORT_NAME}",
    ]  # fmt: skip


class Machine:
    """A running VM; leaving the `with` block takes it away, as pulling the plug would."""

    def __init__(self, settings: Settings, image: Image, repository: int) -> None:
        self.patience = PATIENCE[settings.accelerator]
        self.console = os.memfd_create("console.log", os.MFD_CLOEXEC)
        self.port, theirs = socket.socketpair()
        inherited = [repository, theirs.fileno(), self.console]
        self._qemu = subprocess.Popen(
            qemu_command(settings, image, *inherited),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            pass_fds=inherited, preexec_fn=lifeline.die_with_parent,
        )  # fmt: skip
        theirs.close()  # else we would not see the end of the stream when QEMU is gone

    def __enter__(self) -> Machine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._qemu.kill()
        self._qemu.wait()
        self.port.close()

    def console_text(self) -> str:
        """Everything that the kernel and systemd wrote so far."""
        with open(f"/proc/self/fd/{self.console}", "rb") as console:
            return console.read().decode(errors="replace").replace("\r", "")

    def gone(self) -> Crashed:
        """The machine ended by itself: what QEMU said about it."""
        try:
            _, said = self._qemu.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            said = b""
        lines = said.decode(errors="replace").strip().splitlines()
        panics = [line for line in self.console_text().splitlines() if "Kernel panic" in line]
        switched_off = "it switched itself off, or has too little memory to start"
        reason = (lines or panics or [switched_off])[-1]
        return Crashed(f"the VM ended before the command did: {reason}")

"""The machine around us: security modules, other engines, and what kind of computer it is."""

import os
from collections.abc import Iterator

from mydocker.engine.doctor.check import Check, not_applicable, ok, text, warning
from mydocker.engine.doctor.processes import running

_ENGINES = ("dockerd", "containerd", "podman", "conmon", "crio", "buildkitd")
_MARKS = {  # a file that each kind of container has
    "/.dockerenv": "Docker",
    "/run/.containerenv": "Podman",
}
_VENDORS = {  # what the firmware says, /sys/class/dmi/id
    "QEMU": "QEMU/KVM",
    "KVM": "KVM",
    "VMware": "VMware",
    "innotek": "VirtualBox",
    "Oracle Corporation": "VirtualBox",
    "Microsoft Corporation": "Hyper-V",
    "Xen": "Xen",
    "Parallels": "Parallels",
    "Amazon EC2": "Amazon EC2",
    "Google": "Google Compute Engine",
}


def machine(root: str) -> Iterator[Check]:
    """The checks of this module."""
    yield _selinux(root)
    yield _apparmor()
    yield _engines()
    yield _virtualisation()


def _selinux(root: str) -> Check:
    enforce = text("/sys/fs/selinux/enforce")
    if not enforce:
        return not_applicable("SELinux", "not in this kernel, or off")
    if enforce == "0":
        return ok("SELinux", "permissive: it logs, and forbids nothing")
    return warning(
        "SELinux",
        "enforcing: a container may be refused its own files",
        f"semanage fcontext -a -t container_file_t '{root}(/.*)?' && restorecon -R {root}; "
        "to see whether it is the cause: setenforce 0; ausearch -m avc -ts recent",
    )


def _apparmor() -> Check:
    if text("/sys/module/apparmor/parameters/enabled") != "Y":
        return not_applicable("AppArmor", "not in this kernel, or off")
    profile = text("/proc/self/attr/apparmor/current") or text("/proc/self/attr/current")
    if profile in ("", "unconfined"):
        return ok("AppArmor", "on; mydocker is not confined")
    fix = "Run mydocker outside of this profile: aa-exec -p unconfined mydocker …"
    return warning("AppArmor", f"mydocker is confined by the profile {profile}", fix)


def _engines() -> Check:
    found = sorted(running() & set(_ENGINES))
    if not found:
        return ok("other engines", "none runs")
    return ok("other engines", f"{', '.join(found)}: no harm, mydocker has names of its own")


def _virtualisation() -> Check:
    container = _container()
    if container:
        fix = "Some of it cannot work in there: run mydocker outside, or docker run --privileged"
        return warning("computer", f"this is itself a container ({container})", fix)
    vendor = f"{text('/sys/class/dmi/id/sys_vendor')} {text('/sys/class/dmi/id/product_name')}"
    for word, name in _VENDORS.items():
        if word in vendor:
            return ok("computer", f"a virtual machine ({name})")
    if any(" hypervisor" in line for line in text("/proc/cpuinfo").splitlines()[:40]):
        return ok("computer", "a virtual machine")
    return ok("computer", f"a real one, it seems ({vendor.strip() or 'it does not say which'})")


def _container() -> str:
    """What kind of container we are in; "" if it looks like none."""
    for path, name in _MARKS.items():
        if os.path.exists(path):
            return name
    told = text("/run/systemd/container")  # systemd writes it down for those who are not root
    for variable in text("/proc/1/environ").split("\0"):
        if variable.startswith("container="):
            told = variable.removeprefix("container=")
    return told

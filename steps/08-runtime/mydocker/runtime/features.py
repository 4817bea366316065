"""``features``: what this runtime knows, as the specification's features.md has it."""

from typing import Any

from mydocker.overlay2.mount_options import FLAGS, PROPAGATION
from mydocker.runtime.reader import KINDS
from mydocker.runtime.specification import LATEST, Hooks
from mydocker.security.capabilities import NAMES
from mydocker.security.profile import ACTIONS, OPERATORS


def features() -> dict[str, Any]:
    """All of it, in JSON's types."""
    from mydocker.runtime.reader import name_of

    words = {"bind", *FLAGS, *PROPAGATION}
    words |= {f"r{word}" for word in words}
    return {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": LATEST,
        "hooks": [name_of(field) for field in Hooks._fields],  # type: ignore[attr-defined]
        "mountOptions": sorted(words),
        "linux": {
            "namespaces": sorted(KINDS),
            "capabilities": list(NAMES),
            "cgroup": {"v1": True, "v2": True, "systemd": False, "systemdUser": False},
            "seccomp": {
                "enabled": True,
                "actions": sorted(ACTIONS),
                "operators": sorted(f"SCMP_CMP_{word}" for word in OPERATORS),
                "archs": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_X86_64"],
            },
            "apparmor": {"enabled": False},
            "selinux": {"enabled": False},
            "intelRdt": {"enabled": False},
        },
        "annotations": {},
    }

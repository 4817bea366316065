"""Forwarding between interfaces: on while a network needs it, and afterwards as it was before.

The switches are ``net.ipv4.ip_forward`` and ``net.ipv6.conf.all.forwarding`` (Linux,
Documentation/networking/ip-sysctl.rst). What we find off we note down *before* we switch it on: a
process that is killed in between leaves a note, and switching off what is off does no harm.
"""

import errno
import os

from mydocker.kernel import files
from mydocker.kernel.errors import hints
from mydocker.network.store import Network, Store

_SWITCHES = {
    4: "/proc/sys/net/ipv4/ip_forward",
    6: "/proc/sys/net/ipv6/conf/all/forwarding",
}
_LOCKED = (
    "The switch is locked here, as in many containers and hardened machines. Have forwarding "
    "switched on outside (sysctl -w net.ipv4.ip_forward=1), or use --internal or --net none"
)
_LOCKS = {errno.EROFS: _LOCKED, errno.EACCES: _LOCKED, errno.EPERM: _LOCKED}


def _note(store: Store, version: int) -> str:
    return store.state(f"forwarding{version}-was-off")


def switched_on(store: Store) -> list[int]:
    """The IP versions whose forwarding we switched on."""
    return [version for version in _SWITCHES if os.path.exists(_note(store, version))]


def need(store: Store, network: Network) -> None:
    """Switch on what ``network`` needs, unless it is on. Raises KernelError where it is locked."""
    if network.internal:
        return
    for version in {4, 6 if network.subnet6 else 4}:
        path = _SWITCHES[version]
        if files.read(path) == "0":
            os.close(os.open(_note(store, version), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            with hints(_LOCKS):
                files.write(path, "1", why="a packet may go in at one interface and out at another")


def restore(store: Store) -> None:
    """Switch off what we switched on."""
    for version in switched_on(store):
        path = _SWITCHES[version]
        if os.path.exists(path) and files.read(path) != "0":
            files.write(path, "0", why="the last network is gone: forward nothing, as before")
        os.unlink(_note(store, version))

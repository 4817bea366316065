"""Addresses handed out, each to one owner: a directory of symbolic links.

``10.86.0.2 -> <container>``: symlink(2) makes the name together with what it says, in one step, and
fails if the name is there. So two processes cannot get the same address, and one that is killed
leaves either nothing or a link that says whose it was; no lock and no file of records can be left
half written. ``ls -l`` shows it all.
"""

import os
from collections.abc import Callable

from mydocker.kernel.errors import Conflict, Failure, Invalid
from mydocker.network import addresses
from mydocker.network.addresses import Subnet


def reserve(
    directory: str,
    subnet: Subnet,
    gateway: str,
    owner: str,
    exists: Callable[[str], bool],
    *,
    ip_range: Subnet | None = None,
    wanted: str = "",
) -> str:
    """Give ``owner`` an address of ``subnet``: ``wanted``, or the lowest free one of ``ip_range``.

    ``exists`` tells whether an owner is still there: the address of one that is not is free. Raises
    Failure if ``wanted`` cannot be had, or if no address is left.
    """
    if wanted:
        return _wanted(directory, subnet, gateway, owner, exists, wanted)
    candidates = subnet.hosts()
    if ip_range is not None:
        low, high = max(candidates.start, ip_range.first), min(candidates.stop - 1, ip_range.last)
        candidates = range(low, high + 1)
    # lab 4.2: the lowest address that is free
    in_use = set(os.listdir(directory))
    for value in candidates:
        address = addresses.text(subnet.version, value)
        if address not in in_use and address != gateway and _take(directory, address, owner):
            return address
    # Nothing is free at first sight: look whose the addresses are.
    for value in candidates:
        address = addresses.text(subnet.version, value)
        if address != gateway and _take_over(directory, address, owner, exists):
            return address
    # end lab
    raise Failure(
        f"no address is left in {ip_range or subnet}: {len(os.listdir(directory))} are in use",
        "Stop containers on this network, or make one with a larger --subnet",
    )


def _wanted(
    directory: str,
    subnet: Subnet,
    gateway: str,
    owner: str,
    exists: Callable[[str], bool],
    wanted: str,
) -> str:
    version, value = addresses.number(wanted)
    address = addresses.text(version, value)
    if version != subnet.version or value not in subnet.hosts():
        raise Invalid(f"address {wanted}: not one for a container in {subnet}")
    if address == gateway:
        raise Invalid(f"address {wanted}: belongs to the gateway of {subnet}")
    if _take(directory, address, owner) or _take_over(directory, address, owner, exists):
        return address
    raise Conflict(
        f"address {wanted}: in use by container {holder(directory, address)[:12]}",
        "Choose another --ip, or none to get a free one",
    )


def _take(directory: str, address: str, owner: str) -> bool:
    try:
        os.symlink(owner, f"{directory}/{address}")
    except FileExistsError:
        return False
    return True


def _take_over(directory: str, address: str, owner: str, exists: Callable[[str], bool]) -> bool:
    """Take an address whose owner is gone. The caller holds the lock of the store."""
    before = holder(directory, address)
    if before and exists(before):
        return False
    free(directory, address, before)
    return _take(directory, address, owner)


def holder(directory: str, address: str) -> str:
    """The owner of ``address``; "" if it is free."""
    try:
        return os.readlink(f"{directory}/{address}")
    except OSError:
        return ""


def free(directory: str, address: str, owner: str) -> None:
    """Let ``address`` go, if it is still ``owner``'s."""
    if holder(directory, address) == owner:
        try:
            os.unlink(f"{directory}/{address}")
        except FileNotFoundError:
            pass


def free_all(directory: str, owner: str) -> None:
    """Let go whatever ``owner`` has: for one that was killed before it noted what it got."""
    for address in _names(directory):
        free(directory, address, owner)


def orphans(directory: str, exists: Callable[[str], bool]) -> list[str]:
    """The addresses whose owner is no longer there."""
    return [a for a in _names(directory) if (own := holder(directory, a)) and not exists(own)]


def _names(directory: str) -> list[str]:
    """The addresses that are taken; none if the network went down meanwhile."""
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []

"""Subnets and addresses as numbers, IPv4 and IPv6 alike.

An address is a number of 32 or 128 bits, a subnet all numbers with the same first ``prefix`` bits
(RFC 4632). Nothing here looks at the machine. The standard library's ``ipaddress`` knows all this
and more, and takes 7 ms to import: every run of a container would pay for it.
"""

import _socket
from collections.abc import Iterable, Iterator

from mydocker.kernel.errors import Failure, Invalid
from mydocker.kernel.numbers import decimal
from mydocker.kernel.records import record

_FAMILY = {4: _socket.AF_INET, 6: _socket.AF_INET6}

# Where subnets of our own choice come from, first to last: private addresses (RFC 1918) that
# routers at home and Docker rarely use come first. 1,022 containers fit a /22, and no more than
# 1,024 ports fit a bridge of the kernel (BR_MAX_PORTS).
POOLS = ("10.86.0.0/15", "192.168.0.0/16", "172.16.0.0/12")
PREFIX = 22


def number(text: str) -> tuple[int, int]:
    """``"10.0.0.1"`` as ``(4, 167772161)``: version and number. Raises Failure if it is neither."""
    for version, family in _FAMILY.items():
        try:
            return version, int.from_bytes(_socket.inet_pton(family, text), "big")
        except (OSError, ValueError):
            pass
    raise Invalid(f"address '{text}': not an IPv4 or IPv6 address", "Write 10.0.0.2 or fd00::2")


def text(version: int, address: int) -> str:
    """The address ``number`` gave, written as usual: IPv6 in its shortest form."""
    return _socket.inet_ntop(_FAMILY[version], address.to_bytes(4 if version == 4 else 16, "big"))


@record
class Subnet:
    """All addresses that share the first ``prefix`` bits with ``first``, the lowest of them."""

    version: int
    first: int
    prefix: int

    @classmethod
    def parse(cls, written: str) -> "Subnet":
        """``"10.0.0.0/24"``. Raises Failure if it is no subnet, or if host bits are set."""
        address, slash, length = written.partition("/")
        hint = "Write it as address/bits, for example 10.20.0.0/24"
        try:
            version, first = number(address)
        except Failure:
            raise Invalid(f"subnet '{written}': not a subnet", hint) from None
        bits = 32 if version == 4 else 128
        prefix = decimal(length, bits)
        if not slash or prefix is None:
            raise Invalid(f"subnet '{written}': not a subnet", hint)
        subnet = cls.around(version, first, prefix)
        if subnet.first != first:
            raise Invalid(f"subnet '{written}': has host bits set", f"Did you mean {subnet}?")
        return subnet

    @classmethod
    def around(cls, version: int, address: int, prefix: int) -> "Subnet":
        """The subnet of ``prefix`` bits that holds ``address``."""
        host_bits = (32 if version == 4 else 128) - prefix
        return cls(version, address >> host_bits << host_bits, prefix)

    @property
    def last(self) -> int:
        """The highest address; in IPv4 it is the one that all listen to (broadcast)."""
        return self.first + (1 << ((32 if self.version == 4 else 128) - self.prefix)) - 1

    def __str__(self) -> str:
        return f"{text(self.version, self.first)}/{self.prefix}"

    def __contains__(self, address: str) -> bool:
        version, value = number(address)
        return version == self.version and self.first <= value <= self.last

    def overlaps(self, other: "Subnet") -> bool:
        """True if some address belongs to both."""
        same = self.version == other.version
        return same and self.first <= other.last and other.first <= self.last

    def within(self, other: "Subnet") -> bool:
        """True if every address of this one belongs to ``other``."""
        return self.overlaps(other) and self.prefix >= other.prefix

    def hosts(self) -> range:
        """The numbers that a machine may have: not the network's own, nor the broadcast address."""
        top = self.last if self.version == 4 else self.last + 1
        return range(self.first + 1, top)

    def split(self, prefix: int) -> Iterator["Subnet"]:
        """The subnets of ``prefix`` bits in this one, in order."""
        step = 1 << ((32 if self.version == 4 else 128) - prefix)
        for first in range(self.first, self.last + 1, step):
            yield Subnet(self.version, first, prefix)


@record
class Taken:
    """A subnet that is in use, and by whom: ``"route on eth0"``, ``"network 'blue'"``."""

    subnet: Subnet
    by: str


def culprit(subnet: Subnet, taken: Iterable[Taken]) -> Taken | None:
    """The first use that ``subnet`` would overlap."""
    return next((use for use in taken if use.subnet.overlaps(subnet)), None)


def choose(taken: Iterable[Taken], pools: Iterable[str] = POOLS, prefix: int = PREFIX) -> Subnet:
    """The first subnet of the pools that overlaps nothing in use. Raises Failure if none is left.

    >>> str(choose([Taken(Subnet.parse("10.86.0.0/21"), "route on vpn0")]))
    '10.86.8.0/22'
    """
    # Skip what is in the way by jumping behind it: a route to 10.0.0.0/8 covers whole pools.
    uses = list(taken)
    for pool in map(Subnet.parse, pools):
        step = 1 << (32 - prefix)
        first = pool.first
        while first <= pool.last:
            candidate = Subnet(4, first, prefix)
            use = culprit(candidate, uses)
            if use is None:
                return candidate
            first = max(first + step, -(-(use.subnet.last + 1) // step) * step)
    raise Failure(
        "no free subnet is left in " + ", ".join(pools),
        "Remove networks that are not used (network prune), or choose one with --subnet",
    )


def unique_local(random: bytes) -> Subnet:
    """A private IPv6 subnet from five random bytes, as RFC 4193 wants it: ``fd``, 40 bits, /64."""
    return Subnet(6, int.from_bytes(b"\xfd" + random[:5] + bytes(10), "big"), 64)


def hardware_address(version: int, address: int) -> str:
    """A MAC address made from an IP address: ``02:42`` (locally administered) and its last 4 bytes.

    Made from the address, so that an address that moves to another container keeps its MAC, and
    no neighbour waits for a stale entry of its ARP table to time out.
    """
    tail = (address & 0xFFFFFFFF).to_bytes(4, "big")
    return ":".join(f"{byte:02x}" for byte in b"\x02\x42" + tail)


def check_mac(written: str) -> str:
    """A MAC address as the kernel writes it. Raises Failure for no address, or a multicast one."""
    parts = written.replace("-", ":").lower().split(":")
    good = len(parts) == 6 and all(
        len(p) == 2 and all(c in "0123456789abcdef" for c in p) for p in parts
    )
    if not good:
        raise Invalid(f"--mac-address '{written}': not a MAC address", "Write 02:42:0a:00:00:02")
    if int(parts[0], 16) & 1:
        raise Invalid(
            f"--mac-address '{written}': a multicast address, no card may have it",
            "Make the first byte even, for example 02",
        )
    if set(parts) == {"00"}:
        raise Invalid(f"--mac-address '{written}': all zeros is no address", "Write 02:42:…")
    return ":".join(parts)

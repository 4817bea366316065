"""Our one nftables table, ``inet mydocker``, as text for ``nft -f`` (nft(8)). Pure, but for a look.

The rules never change: they speak of sets and maps, and a container or a network is an *element* of
those. So the hundredth published port costs as much as the first, for the kernel that looks it up
in a hash table and for us who add it. A new table replaces an old one in one transaction: no packet
meets half of it. Other tables, Docker's and firewalld's among them, are never touched. The other
side of that: every table's chains must let a packet pass, so an ``accept`` here cannot save one
that a chain of another table drops.
"""

import _socket
import struct
from collections.abc import Iterable

from mydocker.network import addresses
from mydocker.network.store import Endpoint, Network, Published

TABLE = "inet mydocker"

# type of key and value of the maps of published ports, by IP version
_PORTS = "inet_proto . inet_service : {value} . inet_service"


def _publishing() -> str:
    """Chains, written as _GUARD: a packet for a published port gets its new destination."""
    # lab 4.4: a port of the host leads to a container
    return """\
  # Published ports: the destination becomes the container's. Those for one address go first.
  chain publish {
    dnat ip to ip daddr . meta l4proto . th dport map @published_at
    dnat ip to meta l4proto . th dport map @published
    dnat ip6 to ip6 daddr . meta l4proto . th dport map @published6_at
    dnat ip6 to meta l4proto . th dport map @published6
  }
  # From other machines and from containers. Never to 127.0.0.1: that is the host's own, and a
  # neighbour on the wire could send such packets too.
  chain arriving {
    type nat hook prerouting priority dstnat; policy accept;
    ip daddr != 127.0.0.0/8 fib daddr type local jump publish
    meta nfproto ipv6 fib daddr type local jump publish
  }
  # From the host itself, localhost included.
  chain local {
    type nat hook output priority -100; policy accept;
    fib daddr type local jump publish
  }
"""
    # end lab


def _leaving() -> str:
    """A chain, written as _GUARD: a packet that leaves gets its new source."""
    # lab 4.3: out with the host's address
    return """\
  # Who leaves the bridges goes out with the host's address, as nobody outside knows a way back.
  chain leaving {
    type nat hook postrouting priority srcnat; policy accept;
    iifname @bridges oifname != @bridges masquerade
    # a published port reached from its own network: else the answer would go past us
    ct status dnat ip saddr . oifname @home masquerade
    ct status dnat ip6 saddr . oifname @home6 masquerade
    # a published port reached from localhost: 127.0.0.1 means nothing to the container
    ip saddr 127.0.0.0/8 oifname @bridges masquerade
  }
"""
    # end lab


_GUARD = """\
  # localhost's ports need route_localnet on the bridges; it must not open 127.0.0.1 to containers.
  chain guard {
    type filter hook prerouting priority raw; policy accept;
    iifname @bridges ip daddr 127.0.0.0/8 drop
  }
"""


def _forward() -> str:
    """Who may pass from one interface to another; the chain is open at its end, for _CLOSED."""
    # lab 4.5: networks apart
    return """\
  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname . oifname @within accept
    # --internal: no way out and no way in
    iifname @internal drop
    oifname @internal drop
    # networks do not reach each other
    iifname @bridges oifname @bridges drop
    # into a network comes an answer, or what a published port was asked; nothing else
    oifname @bridges ct state established,related accept
    oifname @bridges ct status dnat accept
    oifname @bridges drop
"""
    # end lab


_INPUT = """\
  # An internal network's containers reach the host at their gateway, and at no other address.
  chain input {
    type filter hook input priority filter; policy accept;
    iifname @internal fib daddr . iif type unicast drop
    iifname @internal fib daddr . iif type blackhole drop
  }
"""

# We switched forwarding on, so this machine was no router before: it shall not be one for others.
_CLOSED = "    meta nfproto ipv{version} iifname != @bridges oifname != @bridges drop\n"


def ruleset(
    networks: Iterable[Network], endpoints: Iterable[Endpoint], closed: Iterable[int] = ()
) -> str:
    """The whole table for these networks and published ports, in place of any that is there.

    ``closed`` names the IP versions whose forwarding we switched on.
    """
    networks = list(networks)
    published: dict[str, list[str]] = {name: [] for name in _maps()}
    internal = [quoted(n.bridge) for n in networks if n.internal]
    ids = {n.id for n in networks if not n.internal}
    for endpoint in endpoints:
        if endpoint.network in ids:
            for name, element in _elements(endpoint, endpoint.ports):
                published[name].append(element)
    bridges = [quoted(n.bridge) for n in networks]
    return "".join(
        [
            # nft 1.0.6 has no "destroy": adding first makes deleting succeed either way
            f"add table {TABLE}\ndelete table {TABLE}\ntable {TABLE} {{\n",
            _named("set", "bridges", "ifname", bridges),
            _named("set", "internal", "ifname", internal),
            _named("set", "within", "ifname . ifname", [f"{b} . {b}" for b in bridges]),
            # by address, not by iifname: within a bridge (br_netfilter) a packet has no iifname
            # when it leaves
            _named("set", "home", "ipv4_addr . ifname; flags interval", _home(networks, 4)),
            _named("set", "home6", "ipv6_addr . ifname; flags interval", _home(networks, 6)),
            *(_named("map", name, kind, published[name]) for name, kind in _maps().items()),
            _publishing(),
            _leaving(),
            _GUARD,
            _forward(),
            *(_CLOSED.format(version=version) for version in closed),
            "  }\n",
            _INPUT,
            "}\n",
        ]
    )


def quoted(name: str) -> str:
    """An interface's name as nft reads it: some are words of its language, as ``bridge``."""
    return f'"{name}"'


def _home(networks: Iterable[Network], version: int) -> list[str]:
    """Each subnet with its bridge."""
    pairs = [(subnet, n.bridge) for n in networks for subnet, _ in n.subnets]
    return [f"{subnet} . {quoted(b)}" for subnet, b in pairs if subnet.version == version]


def _maps() -> dict[str, str]:
    kinds = {}
    for suffix, address in (("", "ipv4_addr"), ("6", "ipv6_addr")):
        kind = _PORTS.format(value=address)
        kinds[f"published{suffix}"] = kind
        kinds[f"published{suffix}_at"] = f"{address} . {kind}"
    return kinds


def _named(what: str, name: str, kind: str, elements: list[str]) -> str:
    content = f"; elements = {{ {', '.join(elements)} }}" if elements else ""
    return f"  {what} {name} {{ type {kind}{content}; }}\n"


def _elements(endpoint: Endpoint, ports: Iterable[Published]) -> list[tuple[str, str]]:
    """The map and the element of each published port; two for one without an address."""
    found = []
    for port in ports:
        for target in endpoint.addresses:
            version = addresses.number(target)[0]
            if port.ip and addresses.number(port.ip)[0] != version:
                continue
            suffix = "6" if version == 6 else ""
            key = f"{port.protocol} . {port.host}"
            name = f"published{suffix}"
            if port.ip:
                name, key = f"{name}_at", f"{port.ip} . {key}"
            found.append((name, f"{key} : {target} . {port.container}"))
    return found


def opened(endpoint: Endpoint) -> str:
    """Add an endpoint's published ports: one batch, whatever else there is."""
    elements = _elements(endpoint, endpoint.ports)
    return "".join(f"add element {TABLE} {name} {{ {element} }}\n" for name, element in elements)


def closed(endpoint: Endpoint) -> str:
    """Take an endpoint's published ports away, whether they are there or not."""
    lines = []
    for name, element in _elements(endpoint, endpoint.ports):
        # deleting what is not there would fail the whole batch: so add it first
        lines.append(f"add element {TABLE} {name} {{ {element} }}\n")
        lines.append(f"delete element {TABLE} {name} {{ {element} }}\n")
    return "".join(lines)


def removed() -> str:
    """No table, whether there was one or not."""
    return f"add table {TABLE}\ndelete table {TABLE}\n"


# netlink(7): struct nlmsghdr, struct nfgenmsg, one attribute; <linux/netfilter/nf_tables.h>
_NETLINK_NETFILTER = 12
_NFT_MSG_GETTABLE = 10 << 8 | 1
_NFTA_TABLE_NAME = 1
_NFPROTO_INET = 1
_NLMSG_ERROR = 2


def present() -> bool:
    """True if the table is there. Asked of the kernel directly: nft(8) would take 3 ms to start."""
    name = TABLE.split()[1].encode() + b"\0"
    attribute = (
        struct.pack("=HH", 4 + len(name), _NFTA_TABLE_NAME) + name + b"\0" * (-len(name) % 4)
    )
    body = struct.pack("=BBH", _NFPROTO_INET, 0, 0) + attribute
    header = struct.pack("=IHHII", 16 + len(body), _NFT_MSG_GETTABLE, 1, 1, 0)
    try:
        socket = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW, _NETLINK_NETFILTER)
    except OSError:  # no nf_tables in this kernel: nft(8) will say it better
        return False
    try:
        socket.send(header + body)
        answer = socket.recv(4096)
    finally:
        socket.close()
    return bool(struct.unpack_from("=H", answer, 4)[0] != _NLMSG_ERROR)

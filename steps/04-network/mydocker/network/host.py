"""What the machine uses already: routes, addresses, name servers. Only reads.

proc(5) /proc/net/route and /proc/net/ipv6_route show the main routing table of the network
namespace that reads them; the addresses come by rtnetlink(7), because an interface that is down has
addresses and no route.
"""

import _socket
import struct

from mydocker.kernel.errors import Failure
from mydocker.network.addresses import Subnet, Taken

_RTF_UP = 1
_RTM_NEWADDR, _RTM_GETADDR, _NLMSG_DONE, _NLMSG_ERROR = 20, 22, 3, 2
_NLM_F_REQUEST_DUMP = 0x301
_IFA_ADDRESS = 1
_HOSTS_RESOLVERS = ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf")


def routes4(table: str) -> list[Taken]:
    """The subnets in the text of /proc/net/route.

    A line has the words, in hexadecimal, least significant byte first::

        eth0  000200C0  00000000  0001  0  0  0  00FFFFFF  0  0  0
    """
    found = []
    for line in table.splitlines()[1:]:
        word = line.split()
        if len(word) < 8 or not int(word[3], 16) & _RTF_UP:
            continue
        first, mask = (int.from_bytes(bytes.fromhex(word[i]), "little") for i in (1, 7))
        if mask:  # the default route leads everywhere and takes nothing
            found.append(Taken(Subnet(4, first, mask.bit_count()), f"the route on {word[0]}"))
    return found


def routes6(table: str) -> list[Taken]:
    """The subnets in the text of /proc/net/ipv6_route: address, prefix in hexadecimal, …, device.

    Link-local and multicast ones exist on every link and take nothing.
    """
    found = []
    for line in table.splitlines():
        word = line.split()
        prefix, device = int(word[1], 16), word[-1]
        if prefix and word[0][:2] not in ("fe", "ff") and device != "lo":
            found.append(
                Taken(Subnet.around(6, int(word[0], 16), prefix), f"the route on {device}")
            )
    return found


def addresses() -> list[Taken]:
    """The subnet around each address of each interface, up or down, by rtnetlink(7)."""
    found = []
    with _NetlinkDump() as answer:
        for message in answer:
            family, prefix, _, _, index = struct.unpack_from("=BBBBI", message)
            version = {_socket.AF_INET: 4, _socket.AF_INET6: 6}.get(family)
            value = _attribute(message[8:], _IFA_ADDRESS)
            device = _name(index)
            if version and value and device != "lo" and value[:1] != b"\xfe":
                subnet = Subnet.around(version, int.from_bytes(value, "big"), prefix)
                found.append(Taken(subnet, f"the address of {device}"))
    return found


class _NetlinkDump:
    """All addresses of this network namespace: the bodies of the RTM_NEWADDR messages."""

    def __enter__(self) -> list[bytes]:
        self.socket = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW, 0)
        body = struct.pack("=B3xI", 0, 0)
        header = struct.pack("=IHHII", 16 + len(body), _RTM_GETADDR, _NLM_F_REQUEST_DUMP, 1, 0)
        self.socket.send(header + body)
        messages: list[bytes] = []
        while True:
            data = self.socket.recv(1 << 16)
            while len(data) >= 16:
                length, kind = struct.unpack_from("=IH", data)
                if kind in (_NLMSG_DONE, _NLMSG_ERROR):
                    return messages
                if kind == _RTM_NEWADDR:
                    messages.append(data[16:length])
                data = data[(length + 3) & ~3 :]

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def _attribute(data: bytes, wanted: int) -> bytes:
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if kind == wanted:
            return data[4:length]
        data = data[(length + 3) & ~3 :]
    return b""


def _name(index: int) -> str:
    try:
        return _socket.if_indextoname(index)
    except OSError:
        return f"interface {index}"


def has_link(name: str) -> bool:
    """True if this network namespace has an interface called ``name``."""
    # Not by /sys/class/net: a sysfs shows the interfaces of the namespace that mounted it.
    try:
        return _socket.if_nametoindex(name) > 0
    except OSError:
        return False


def has_ipv6() -> bool:
    """False if the kernel was started without IPv6."""
    try:
        open("/proc/net/if_inet6", "rb").close()
    except OSError:
        return False
    return True


def filters_bridges() -> bool:
    """True if frames inside a bridge pass the IP firewall too (the module br_netfilter).

    Docker loads it. Then a container's published port, asked by itself, is redirected within the
    bridge, which by itself never sends a frame back to where it came from.
    """
    return text("/proc/sys/net/bridge/bridge-nf-call-iptables").strip() == "1"


def text(path: str) -> str:
    """The text of a file of this machine; "" if it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def taken() -> list[Taken]:
    """Every subnet that this machine has an address in, a route to, or a name server at."""
    servers = [Taken(_single(s), "the name server in /etc/resolv.conf") for s in resolvers()]
    return [
        *addresses(),
        *routes4(text("/proc/net/route")),
        *routes6(text("/proc/net/ipv6_route")),
        *servers,
    ]


def _single(address: str) -> Subnet:
    return Subnet.parse(f"{address}/{128 if ':' in address else 32}")


def resolver_configuration() -> str:
    """The host's resolv.conf(5); where that only names a local stub, the one behind the stub.

    systemd-resolved writes ``nameserver 127.0.0.53`` to /etc/resolv.conf: seen from a container,
    that is the container itself.
    """
    first = text(_HOSTS_RESOLVERS[0])
    if _servers(first) or "127." not in first:
        return first
    return text(_HOSTS_RESOLVERS[1]) or first


def resolvers() -> list[str]:
    """The host's name servers that can be reached from elsewhere."""
    return _servers(resolver_configuration())


def nameservers() -> list[str]:
    """All of the host's name servers, for a process of the host: local stubs are good, too."""
    return named_servers(text(_HOSTS_RESOLVERS[0]))


def _servers(configuration: str) -> list[str]:
    found = named_servers(configuration)
    return [address for address in found if not address.startswith("127.") and address != "::1"]


def named_servers(configuration: str) -> list[str]:
    """The addresses of the ``nameserver`` lines of a resolv.conf(5)."""
    found = []
    for line in configuration.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            address = words[1].partition("%")[0]
            try:
                _single(address)
            except Failure:  # a line that no resolver understands is not ours to complain about
                continue
            found.append(address)
    return found

"""Published ports: how they are written, and how they are kept for us.

``-p [IP:]HOST:CONTAINER[/tcp|/udp]`` as Docker reads it. A port that is published is *bound*,
though nobody listens: the firewall leads its packets elsewhere before any socket sees them, but a
program of the host that wants the port must be told by the kernel that it is taken (bind(2):
EADDRINUSE), and so must we if a program was there first. The sockets live as long as the process
that started the container.
"""

import _socket
import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence

from mydocker.kernel.errors import Conflict, Failure, Invalid
from mydocker.kernel.numbers import decimal
from mydocker.network import addresses
from mydocker.network.attachment import PortBinding
from mydocker.network.store import Published

PROTOCOLS = ("tcp", "udp")
_HINT = "Write [IP:]HOST:CONTAINER[/tcp|/udp], for example 8080:80 or 127.0.0.1:5300-5310:53/udp"
_TYPES = {"tcp": _socket.SOCK_STREAM, "udp": _socket.SOCK_DGRAM}


Used = tuple[Published, str]  # a published port, and the name of the container that has it


def parse(written: str) -> list[PortBinding]:
    """The ports that one ``-p`` asks for. Raises Failure for anything else.

    >>> parse("127.0.0.1:8080:80")
    [PortBinding(container=80, protocol='tcp', ip='127.0.0.1', first=8080, last=8080)]
    """
    rest, slash, protocol = written.partition("/")
    if slash and protocol.lower() not in PROTOCOLS:
        raise Invalid(f"-p {written}: unknown protocol '{protocol}'", _HINT)
    protocol = protocol.lower() or "tcp"
    front, colon, container = rest.rpartition(":")
    ip, _, host = front.rpartition(":")
    ports = _range(container, written)
    if not colon or not host:
        return [PortBinding(port, protocol, _ip(ip, written)) for port in ports]
    hosts = _range(host, written)
    if len(ports) == 1:
        return [PortBinding(ports[0], protocol, _ip(ip, written), hosts[0], hosts[-1])]
    if len(hosts) != len(ports):
        raise Invalid(f"-p {written}: {len(hosts)} ports of the host for {len(ports)}", _HINT)
    address = _ip(ip, written)
    pairs = zip(hosts, ports, strict=True)
    return [PortBinding(c, protocol, address, h, h) for h, c in pairs]


def _range(text: str, written: str) -> range:
    first, dash, last = text.partition("-")
    low = decimal(first, 65535)
    high = decimal(last, 65535) if dash else low
    if not low or not high:
        raise Invalid(f"-p {written}: '{text}' is not a port from 1 to 65535, nor a range", _HINT)
    if high < low:
        raise Invalid(f"-p {written}: the range {text} runs backwards", _HINT)
    return range(low, high + 1)


def _ip(text: str, written: str) -> str:
    if not text:
        return ""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        version, value = addresses.number(bare)
    except Failure:
        raise Invalid(f"-p {written}: '{text}' is not an address", _HINT) from None
    return "" if value == 0 else addresses.text(version, value)


def parse_exposed(written: str) -> list[str]:
    """What an image or ``--expose`` exposes: ``80``, ``80/tcp``, ``90-92/udp``; each port as
    ``90/udp``. Raises Failure."""
    if ":" in written:
        raise Invalid(f"port {written}: a port of the container alone is exposed", "As 80/tcp")
    return [f"{port.container}/{port.protocol}" for port in parse(written)]


class Reservations:
    """Ports bound for a container that is about to start; :meth:`close` lets them go."""

    def __init__(self) -> None:
        self.sockets: list[_socket.socket] = []

    def close(self) -> None:
        """Let all ports go. May be called twice."""
        while self.sockets:
            self.sockets.pop().close()

    def fulfil(
        self, wanted_ports: Iterable[PortBinding], used: Callable[[], Sequence[Used]], ipv6: bool
    ) -> list[Published]:
        """Bind one port for each wanted; ``used`` gives the ports of our other containers.

        Raises Failure that names who holds a port, after letting all go.
        """
        published: list[Published] = []
        try:
            for wanted in wanted_ports:
                published.append(self._fulfil(wanted, published, used, ipv6))
        except BaseException:
            self.close()
            raise
        return published

    def _fulfil(
        self,
        wanted: PortBinding,
        own: Sequence[Published],
        used: Callable[[], Sequence[Used]],
        ipv6: bool,
    ) -> Published:
        refusals: list[OSError] = []
        for host in wanted.hosts or (0,):
            port = self._bind(wanted, host, ipv6, refusals)
            if port:
                return port
        taken = _taken(wanted, refusals, [*((port, "") for port in own), *used()])
        raise Conflict(taken, "Choose another port of the host, or none")

    def _bind(
        self, wanted: PortBinding, host: int, ipv6: bool, refusals: list[OSError]
    ) -> Published | None:
        bound = []
        for address in [wanted.ip] if wanted.ip else ["0.0.0.0", "::"] if ipv6 else ["0.0.0.0"]:
            try:
                bound.append(_bound(address, host, wanted.protocol))
            except OSError as error:
                refusals.append(error)
                for socket in bound:
                    socket.close()
                return None
            host = bound[-1].getsockname()[1]  # the kernel's choice, if it was left to it
        self.sockets += bound
        return Published(wanted.ip, host, wanted.container, wanted.protocol)


def _taken(wanted: PortBinding, refusals: list[OSError], used: Sequence[Used]) -> str:
    hosts = wanted.hosts or range(1)
    shown = f"{hosts[0]}" if len(hosts) == 1 else f"{hosts[0]}-{hosts[-1]}"
    where = f"{wanted.ip}:{shown}" if wanted.ip else shown
    number = refusals[-1].errno if refusals else errno.EADDRINUSE
    if number == errno.EADDRNOTAVAIL:
        return f"port {where}/{wanted.protocol}: this machine does not have the address {wanted.ip}"
    if number != errno.EADDRINUSE:
        return f"port {where}/{wanted.protocol}: cannot be bound: {os.strerror(number or 0)}"
    port = Published(wanted.ip, hosts[0], wanted.container, wanted.protocol)
    ours = next(
        (f"container {name}" if name else "another -p" for other, name in used
         if _same(port, other)), "",
    )  # fmt: skip
    who = ours or holder(hosts[0], wanted.protocol) or "a socket that does not listen yet"
    return f"port {where}/{wanted.protocol} is taken by {who}"


def _bound(address: str, port: int, protocol: str) -> _socket.socket:
    family = _socket.AF_INET6 if ":" in address else _socket.AF_INET
    socket = _socket.socket(family, _TYPES[protocol] | _socket.SOCK_CLOEXEC)
    try:
        if family == _socket.AF_INET6:
            socket.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 1)
        # No SO_REUSEADDR: two sockets that both set it could share the port.
        socket.bind((address, port))
    except BaseException:
        socket.close()
        raise
    return socket


def _same(one: Published, other: Published) -> bool:
    if (one.host, one.protocol) != (other.host, other.protocol):
        return False
    return not one.ip or not other.ip or one.ip == other.ip


def refuse_clashes(ports: Iterable[Published], used: Sequence[Used]) -> None:
    """Raise Failure if a container that left without release still has one of ``ports``."""
    for port in ports:
        for other, name in used:
            if _same(port, other):
                raise Conflict(
                    f"port {port.host}/{port.protocol} is taken by container {name}",
                    "If it is not running any more, what it left has to be removed: system prune",
                )


def holder(port: int, protocol: str) -> str:
    """Who has a socket on ``port``: ``nginx (pid 812)``; "" if nobody can be found.

    /proc/net/tcp and its kin (proc(5)) name the socket's inode, /proc/PID/fd who has it open::

        0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0  0 23764 …
    """
    inodes = {f"socket:[{inode}]" for inode in _inodes(port, protocol)}
    if not inodes:
        return ""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if inodes & set(_open_files(pid)):
            return f"{_command(pid)} (pid {pid})"
    return "a process that this user cannot see, or the kernel"


def _inodes(port: int, protocol: str) -> Iterator[str]:
    for table in (f"/proc/net/{protocol}", f"/proc/net/{protocol}6"):
        try:
            with open(table) as file:
                lines = file.read().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            word = line.split()
            connected = int(word[2].rpartition(":")[2], 16)
            if int(word[1].rpartition(":")[2], 16) == port and not connected:
                yield word[9]
    # A TCP socket that is bound and does not listen is in none of these tables: ours are such.


def _open_files(pid: str) -> Iterator[str]:
    try:
        descriptors = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return
    for fd in descriptors:
        try:
            yield os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            continue  # closed just now; the others count


def _command(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except OSError:
        return "a process that just ended"

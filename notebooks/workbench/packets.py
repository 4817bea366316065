"""What passes an interface, seen by packet(7): Ethernet, ARP, IPv4, ICMP and TCP, decoded.

``listen`` opens a socket for one interface, in the network namespace where it is called; what has
passed until ``heard`` is called waits in it.
"""

import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_ALL = 0x0003  # ETH_P_ALL of <linux/if_ether.h>
_OUTGOING = 4  # PACKET_OUTGOING: leaving by this interface, as seen from the namespace
_ARP, _IPV4, _ICMP, _IGMP, _TCP = 0x0806, 0x0800, 1, 2, 6


@dataclass(frozen=True)
class Packet:
    """One frame. ``kind`` is arp, icmp, tcp or another; ``outgoing``: it left by the interface."""

    interface: str
    outgoing: bool
    source_mac: str
    target_mac: str
    kind: str
    text: str


def listen(interface: str) -> socket.socket:
    """A socket that gets a copy of each frame. Needs CAP_NET_RAW."""
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL))
    opened.bind((interface, 0))
    opened.setblocking(False)
    return opened


def heard(opened: socket.socket) -> list[Packet]:
    """All frames so far, in their order; the socket is closed. See :func:`decode`."""
    found: list[Packet] = []
    with opened:
        while True:
            try:
                frame, (interface, _, direction, *_) = opened.recvfrom(65536)
            except BlockingIOError:
                return found
            if packet := decode(frame, interface, direction == _OUTGOING):
                found.append(packet)


def decode(frame: bytes, interface: str = "", outgoing: bool = False) -> Packet | None:
    """A frame as a packet; None for one that is neither ARP nor IPv4, and for IGMP: the kernel
    tells of its groups when a link comes up, a moment earlier or later, and nobody asked."""
    target, source, kind = frame[:6], frame[6:12], struct.unpack("!H", frame[12:14])[0]
    decoded = {_ARP: _arp, _IPV4: _ipv4}.get(kind)
    if decoded is None or (kind == _IPV4 and frame[14 + 9] == _IGMP):
        return None
    name, text = decoded(frame[14:])
    return Packet(interface, outgoing, source.hex(":"), target.hex(":"), name, text)


def _arp(data: bytes) -> tuple[str, str]:
    # hardware type, protocol type, two lengths, operation, then MAC and IP of sender and of target
    operation = struct.unpack("!H", data[6:8])[0]
    mac, ip, target = data[8:14], socket.inet_ntoa(data[14:18]), socket.inet_ntoa(data[24:28])
    if operation == 1:
        return "arp", f"who has {target}? tell {ip}"
    return "arp", f"{ip} is at {mac.hex(':')}"


def _ipv4(data: bytes) -> tuple[str, str]:
    header = (data[0] & 15) * 4
    source, target = socket.inet_ntoa(data[12:16]), socket.inet_ntoa(data[16:20])
    body = data[header : struct.unpack("!H", data[2:4])[0]]
    if data[9] == _ICMP:
        what = {0: "echo reply", 8: "echo request"}.get(body[0], f"icmp type {body[0]}")
        return "icmp", f"{source} → {target} {what}"
    if data[9] == _TCP:
        return "tcp", f"{_tcp(source, target, body)}"
    return "ip", f"{source} → {target} protocol {data[9]}"


def _tcp(source: str, target: str, body: bytes) -> str:
    ports = struct.unpack("!HH", body[:4])
    bits = {1: "FIN", 2: "SYN", 4: "RST", 8: "PSH", 16: "ACK"}
    flags = " ".join(name for bit, name in bits.items() if body[13] & bit)
    data = len(body) - (body[12] >> 4) * 4
    carried = f", {data} bytes" if data else ""
    return f"{source}:{ports[0]} → {target}:{ports[1]} {flags}{carried}"


def journey(lanes: Sequence[Sequence[Packet]]) -> list[tuple[int, int, str, str]]:
    """The arrows of a drawing: each packet from the first lane to the last, or the other way.

    ``lanes`` are what was heard along the way, the same packets in the same order, though maybe
    with other addresses. An arrow has a text where it says something new.
    """
    arrows = []
    for seen in zip(*lanes, strict=False):
        way = list(range(len(lanes)))
        if not seen[0].outgoing:
            way.reverse()
        said = ""
        for here, there in pairwise(way):
            text = seen[there].text
            arrows.append((here, there, text if text != said else "", seen[0].kind))
            said = text
    return arrows

"""Forget connections that the kernel tracks: the one change of netfilter that nft(8) cannot make.

The kernel remembers for each connection where its packets were sent (conntrack). For UDP a
"connection" lasts as long as packets come, so a client that goes on sending to a published port
would reach the address of a container that has gone, and not the new one that has the port now.
"""

import _socket
import errno
import struct

from mydocker.kernel import trace

# netlink(7), <linux/netfilter/nfnetlink_conntrack.h>
_NETLINK_NETFILTER = 12
_IPCTNL_MSG_CT_DELETE = 1 << 8 | 2
_NLM_F_REQUEST, _NLM_F_ACK = 1, 4
_CTA_TUPLE_REPLY, _CTA_TUPLE_IP = 2, 1
_CTA_IP_SRC = {_socket.AF_INET: 1, _socket.AF_INET6: 3}  # CTA_IP_V4_SRC and CTA_IP_V6_SRC
_CTA_FILTER, _CTA_FILTER_ORIG_FLAGS, _CTA_FILTER_REPLY_FLAGS = 25, 1, 2
_ONLY_SOURCE = 1  # CTA_FILTER_F_CTA_IP_SRC: of the tuple, only this must be equal
_NESTED = 0x8000
_NOT_POSSIBLE = (errno.EINVAL, errno.EOPNOTSUPP)  # before Linux 5.8, or without the module


def _attribute(kind: int, *parts: bytes) -> bytes:
    data = b"".join(parts)
    return struct.pack("=HH", 4 + len(data), kind) + data + b"\0" * (-len(data) % 4)


def _nested(kind: int, *parts: bytes) -> bytes:
    return _attribute(kind | _NESTED, *parts)


def _forget(address: str) -> None:
    family = _socket.AF_INET6 if ":" in address else _socket.AF_INET
    source = _attribute(_CTA_IP_SRC[family], _socket.inet_pton(family, address))
    body = struct.pack("=BBH", family, 1, 0)  # struct nfgenmsg; version 1: of this family only
    body += _nested(_CTA_TUPLE_REPLY, _nested(_CTA_TUPLE_IP, source))
    body += _nested(
        _CTA_FILTER,
        _attribute(_CTA_FILTER_ORIG_FLAGS, struct.pack("=I", 0)),
        _attribute(_CTA_FILTER_REPLY_FLAGS, struct.pack("=I", _ONLY_SOURCE)),
    )
    flags = _NLM_F_REQUEST | _NLM_F_ACK
    header = struct.pack("=IHHII", 16 + len(body), _IPCTNL_MSG_CT_DELETE, flags, 1, 0)
    kind = _socket.SOCK_RAW | _socket.SOCK_CLOEXEC
    socket = _socket.socket(_socket.AF_NETLINK, kind, _NETLINK_NETFILTER)
    try:
        socket.send(header + body)
        answer = socket.recv(4096)
    finally:
        socket.close()
    number = -struct.unpack_from("=i", answer, 16)[0]  # struct nlmsgerr
    if number and number not in _NOT_POSSIBLE:
        raise OSError(number, "")


def forget(address: str, *, why: str = "") -> None:
    """Forget all tracked connections that ``address`` answers, of this network namespace.

    Nothing happens where the kernel cannot (before Linux 5.8): they end by themselves, for UDP
    after half a minute of silence. Needs CAP_NET_ADMIN. Raises KernelError. See conntrack(8).
    """
    trace.request("conntrack", (address,), why, _forget, address)

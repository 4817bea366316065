"""Forget connections that the kernel tracks: the one change of netfilter that nft(8) cannot make.

The kernel remembers for each connection where its packets were sent (conntrack). For UDP a
"connection" lasts as long as packets come, so a client that goes on sending to a published port
would reach the address of a container that has gone, and not the new one that has the port now.
"""

import _socket
import errno
import struct
from collections.abc import Iterator

from mydocker.kernel import trace

# netlink(7), <linux/netlink.h>, <linux/netfilter/nfnetlink_conntrack.h>
_NETLINK_NETFILTER = 12
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_DUMP = 1, 4, 0x300
_IPCTNL_MSG_CT_GET, _IPCTNL_MSG_CT_DELETE = 1 << 8 | 1, 1 << 8 | 2
_CTA_TUPLE_ORIG, _CTA_TUPLE_REPLY, _CTA_TUPLE_IP = 1, 2, 1
_CTA_ID, _CTA_ZONE = 12, 18
_CTA_IP_SRC = {_socket.AF_INET: 1, _socket.AF_INET6: 3}  # CTA_IP_V4_SRC and CTA_IP_V6_SRC
_CTA_FILTER, _CTA_FILTER_ORIG_FLAGS, _CTA_FILTER_REPLY_FLAGS = 25, 1, 2
_ONLY_SOURCE = 1  # CTA_FILTER_F_CTA_IP_SRC: of the tuple, only this must be equal
_NESTED = 0x8000
_NO_TRACKING = (errno.EINVAL, errno.EOPNOTSUPP)  # the kernel is without the module


def _attribute(kind: int, *parts: bytes) -> bytes:
    data = b"".join(parts)
    return struct.pack("=HH", 4 + len(data), kind) + data + b"\0" * (-len(data) % 4)


def _nested(kind: int, *parts: bytes) -> bytes:
    return _attribute(kind | _NESTED, *parts)


def _attributes(data: bytes) -> dict[int, bytes]:
    """Kinds and contents of the attributes that stand one after the other in ``data``."""
    found, at = {}, 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        found[kind & ~_NESTED] = data[at + 4 : at + length]
        at += max(4, length + -length % 4)
    return found


def _message(kind: int, flags: int, family: int, *attributes: bytes) -> bytes:
    body = struct.pack("=BBH", family, 0, 0) + b"".join(attributes)  # struct nfgenmsg first
    return struct.pack("=IHHII", 16 + len(body), kind, _NLM_F_REQUEST | flags, 1, 0) + body


def _answers(socket: _socket.socket) -> Iterator[bytes]:
    """The content of each message up to the last. Raises OSError for the kernel's error."""
    while True:
        data, at = socket.recv(1 << 16), 0
        while at < len(data):
            length, kind = struct.unpack_from("=IH", data, at)
            if kind in (_NLMSG_ERROR, _NLMSG_DONE):
                number = -struct.unpack_from("=i", data, at + 16)[0]
                if number > 0:
                    raise OSError(number, "")
                return
            yield data[at + 16 : at + length]
            at += length + -length % 4


def _forget(address: str) -> None:
    """Ask for the flows, delete each: to delete by a filter is possible only since Linux 6.8."""
    family = _socket.AF_INET6 if ":" in address else _socket.AF_INET
    packed = _socket.inet_pton(family, address)
    source = _attribute(_CTA_IP_SRC[family], packed)
    # Since Linux 5.8 the kernel picks them out; before, it lists all.
    wanted = _message(
        _IPCTNL_MSG_CT_GET, _NLM_F_DUMP, family,
        _nested(_CTA_TUPLE_REPLY, _nested(_CTA_TUPLE_IP, source)),
        _nested(
            _CTA_FILTER,
            _attribute(_CTA_FILTER_ORIG_FLAGS, struct.pack("=I", 0)),
            _attribute(_CTA_FILTER_REPLY_FLAGS, struct.pack("=I", _ONLY_SOURCE)),
        ),
    )  # fmt: skip
    kind = _socket.SOCK_RAW | _socket.SOCK_CLOEXEC
    socket = _socket.socket(_socket.AF_NETLINK, kind, _NETLINK_NETFILTER)
    try:
        socket.send(wanted)
        for flow in [_attributes(answer[4:]) for answer in _answers(socket)]:
            reply = _attributes(_attributes(flow[_CTA_TUPLE_REPLY])[_CTA_TUPLE_IP])
            if reply.get(_CTA_IP_SRC[family]) == packed:
                _delete(socket, family, flow)
    except OSError as error:
        if error.errno not in _NO_TRACKING:
            raise
    finally:
        socket.close()


def _delete(socket: _socket.socket, family: int, flow: dict[int, bytes]) -> None:
    named = [_nested(_CTA_TUPLE_ORIG, flow[_CTA_TUPLE_ORIG])]
    named += [_attribute(kind, flow[kind]) for kind in (_CTA_ID, _CTA_ZONE) if kind in flow]
    socket.send(_message(_IPCTNL_MSG_CT_DELETE, _NLM_F_ACK, family, *named))
    try:
        list(_answers(socket))
    except OSError as error:
        if error.errno != errno.ENOENT:  # it ended by itself meanwhile
            raise


def forget(address: str, *, why: str = "") -> None:
    """Forget all tracked connections that ``address`` answers, of this network namespace.

    Needs CAP_NET_ADMIN. Raises KernelError. See conntrack(8).
    """
    trace.request("conntrack", (address,), why, _forget, address)

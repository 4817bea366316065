"""Switch a network link on: the one change of the network that is made by ioctl(2) here.

Every container's lo needs it, and starting ip(8) for it would cost as much as all the rest of a
start.
"""

import _socket
import fcntl
import struct

from mydocker.kernel import trace

_SIOCGIFFLAGS = 0x8913  # netdevice(7)
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1


def _set_up(name: str) -> None:
    socket = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        request = struct.pack("16sH22x", name.encode(), 0)  # struct ifreq: the name, then the flags
        flags = struct.unpack("16sH22x", fcntl.ioctl(socket.fileno(), _SIOCGIFFLAGS, request))[1]
        request = struct.pack("16sH22x", name.encode(), flags | _IFF_UP)
        fcntl.ioctl(socket.fileno(), _SIOCSIFFLAGS, request)
    finally:
        socket.close()


def set_up(name: str, *, why: str = "") -> None:
    """Set IFF_UP on a link of this network namespace (netdevice(7)). Needs CAP_NET_ADMIN."""
    trace.request("ioctl", ("SIOCSIFFLAGS", name, "IFF_UP"), why, _set_up, name)

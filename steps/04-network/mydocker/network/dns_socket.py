"""Where the DNS server is asked to look again: the socket of a store."""

import os

from mydocker.network.store import Store


def connect_path(store: Store) -> tuple[int, str]:
    """A descriptor of the directory, and a path through it to the server's socket.

    The path of a socket has at most 107 bytes (unix(7)), and run directories may be longer.
    """
    fd = os.open(store.state(), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return fd, f"/proc/self/fd/{fd}/dns"

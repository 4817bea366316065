"""``--console-socket``: the terminal of a container goes to who called us (unix(7), SCM_RIGHTS)."""

import _socket
import errno
import os

from mydocker.kernel.errors import Failure


def hand_over(path: str, master: int) -> None:
    """Send the descriptor ``master`` to whoever listens at ``path``. Raises Failure.

    With one message, the name of what is sent, as runc: what is empty carries nothing beside it.
    """
    number = master.to_bytes(4, "little")
    beside = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, number)]
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        connection.connect(path)
        connection.sendmsg([b"/dev/ptmx"], beside)
    except OSError as error:
        number_ = error.errno or errno.EIO
        raise Failure(f"dial unix {path}: connect: {os.strerror(number_).lower()}") from None
    finally:
        connection.close()

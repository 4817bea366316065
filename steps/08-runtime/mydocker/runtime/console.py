"""``--console-socket``: the terminal of a container goes to who called us (unix(7), SCM_RIGHTS)."""

import _socket
import errno
import os

from mydocker.container import terminal
from mydocker.kernel.errors import Failure
from mydocker.runtime.specification import Box


def hand_over(path: str, master: int, size: Box | None = None) -> None:
    """Send the descriptor ``master`` to whoever listens at ``path``. Raises Failure.

    The terminal has ``size`` from then on, if that is given.

    With one message, the name of what is sent, as runc: what is empty carries nothing beside it.
    """
    if size is not None:
        terminal.set_size(master, size.height, size.width)
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

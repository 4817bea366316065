"""The slim process that a monitor becomes: a Python in which no package is loaded.

It is called as ``slim``, with this directory alone on the import path (``Supervisor.become_slim``).
"""

import _socket
import marshal
import posix as os
import sys

if __name__ == "slim":
    from supervisor import OUTPUTS, Client, Supervisor  # type: ignore[import-not-found]
else:
    from mydocker.engine.monitor.supervisor import OUTPUTS, Client, Supervisor


def main() -> None:
    """The program of the slim process."""
    fd = int(sys.argv[1])
    with open(fd, "rb") as file:
        facts, clients = marshal.loads(file.read())
    names = ("pidfd", "listener", *OUTPUTS, "input")
    opened = [*facts["kept"], *(c[0] for c in clients), *(facts[name] for name in names)]
    opened += [facts["health"]["fd"]] if facts["health"] else []
    for number in opened:
        if number >= 0:
            os.set_inheritable(number, False)
    known = []
    for number, flags, waiting in clients:
        client = Client(_socket.socket(fileno=number), flags)
        client.waiting = waiting
        known.append(client)
    supervisor = Supervisor(facts, known)
    supervisor.slim = True
    status = supervisor.watch()
    assert status is not None
    # The end takes all that was left out: the parts of the container are released.
    sys.path[:] = facts["path"]
    from mydocker.engine.monitor.end import go_on

    go_on(supervisor, status)

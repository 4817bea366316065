"""The engine's DNS server: containers on a network that was made find each other by name.

One process serves all networks of a store. On each it listens at the gateway's address, bound to
the bridge, so that nobody but the network's containers can ask. Who asks is known by the address
that the question comes from; what it may learn are the names on its own networks. All the rest is
asked of the host's name servers, or of the container's own (``--dns``); not for an internal
network, for which a question to the outside would be a way out.

It is started, by fork(2) from what is already loaded, for the first container that needs it, and
ends with the last: it holds a pidfd of each container's first process (pidfd_open(2)), and so
learns of the end of one even if nobody lives to tell. Beside it is its keeper, a parent that does
nothing but wait (wait(2)): if somebody kills the server, it has another one started, for names
must be found though no command comes for days; and of one that ended by itself it takes away the
socket.

The side that starts it and the side that serves are in ``dns_server``; here is what a run needs.
"""

import _socket
import os
import select
from contextlib import closing

from mydocker.kernel import signals, syscalls
from mydocker.kernel.errors import Failure
from mydocker.network import background
from mydocker.network.dns_socket import connect_path
from mydocker.network.store import Store

_PATIENCE = 5.0  # seconds that a server may take to look at the store
_PAUSE = 0.5  # seconds after its end by a signal: for want of memory, it may end again at once


def look(store: Store) -> None:
    """Have the server look who is there now; start it if somebody is and it does not run.

    Called with the store's lock held. Raises Failure with what the server says.
    """
    said = _ask(store)
    if said is None:
        if not any(e.pid for n in store.up() if not n.default for e in store.endpoints(n)):
            _forget(store)  # of a server that saw the last one's end before anybody asked it
            return
        _start(store)
        said = _ask(store)
    word, _, rest = (said or "").partition(" ")
    if word == "bye":  # nobody needs it any more; wait for the end, so that nothing is left
        _wait(int(rest))
        _forget(store)
    elif word != "ok":
        raise Failure(f"DNS server: {rest or 'does not answer'}", "See chapter 04, names")


def _forget(store: Store) -> None:
    """Remove the socket of a server that has ended; with the lock held nobody starts another."""
    try:
        os.unlink(store.state("dns"))
    except FileNotFoundError:
        pass


def _ask(store: Store) -> str | None:
    """Tell the server to look; its answer, or None if there is no server."""
    fd, path = connect_path(store)
    try:
        with closing(
            _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        ) as s:
            s.settimeout(_PATIENCE)
            try:
                s.connect(path)
                s.send(b"look\n")
                return s.recv(4096).decode(errors="replace") or None
            except TimeoutError:
                return "error does not answer"
            except OSError:
                return None
    finally:
        os.close(fd)


def _start(store: Store) -> None:
    """Start the server, and wait until it can be asked."""
    ready = background.begin("mydocker-names", lambda ready: _keep(store, ready))
    try:
        select.select([ready], [], [], _PATIENCE)
    finally:
        os.close(ready)


def _keep(store: Store, ready: int) -> None:
    """Be the keeper: start the server and wait for its end."""
    keeper, pid = os.getpid(), os.fork()
    if pid == 0:
        from mydocker.network import dns_server

        background.call_oneself("mydocker-dns")
        dns_server.serve(store, ready, keeper)
        return
    os.close(ready)
    if not (ended := signals.reap(pid)):
        return  # it was asked, and who asked sees to the rest
    if os.WIFSIGNALED(ended):
        signals.pause(_PAUSE)
    with store.lock():
        # Starts one with a keeper of its own, if it is needed; else nothing is left of this one.
        look(store)


def _wait(pid: int) -> None:
    try:
        pidfd = syscalls.pidfd_open(pid)
    except Failure:
        return
    try:
        select.select([pidfd], [], [], _PATIENCE)
    finally:
        os.close(pidfd)

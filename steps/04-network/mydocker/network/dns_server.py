"""The DNS server's own side: the process that listens on the networks. See ``dns``."""

import os
import random
import select
import socket
import struct
import threading
import time
from collections.abc import Callable

from mydocker.container.processes import Identity
from mydocker.kernel import syscalls
from mydocker.kernel.errors import Failure, by_errno
from mydocker.network import addresses, dns_socket, host, names
from mydocker.network.store import Endpoint, Network, Store

UNASKED = 3  # the exit code when it saw the last one's end before anybody asked it to look
_PORT = 53
_UPSTREAM_PATIENCE = 2.0  # seconds for one name server, as resolv.conf(5) has 5
_CLIENT_PATIENCE = 5.0  # seconds for a client that speaks TCP
_AT_ONCE = 64  # questions under way to other servers
_DATAGRAM = 65535
_PAUSE = 0.01  # seconds after an action that failed


def serve(store: Store, ready: int, keeper: int) -> None:
    """Be the server until nobody needs it; ``ready`` is closed when it can be asked.

    ``keeper`` is the pid of the parent, which ends after us, if it lives that long.
    """
    Server(store, keeper).run(ready)


class Listener:
    """The sockets on one network: UDP and TCP at the gateway, port 53, on this bridge only."""

    def __init__(self, network: Network, index: int) -> None:
        self.network = network
        self.index = index
        self.udp = self._bound(socket.SOCK_DGRAM)
        try:
            self.tcp = self._bound(socket.SOCK_STREAM)
        except OSError:
            self.udp.close()
            raise
        self.tcp.listen(64)

    def _bound(self, kind: int) -> socket.socket:
        made = socket.socket(socket.AF_INET, kind)
        try:
            if kind == socket.SOCK_STREAM:  # connections of a server before us may still linger
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bridge = self.network.bridge.encode()
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, bridge)
            made.bind((self.network.gateway, _PORT))
        except BaseException:
            made.close()
            raise
        return made

    def close(self) -> None:
        self.udp.close()
        self.tcp.close()


class Server:
    """All networks of a store that were made, not the default one, as the kernel shows it now."""

    def __init__(self, store: Store, keeper: int) -> None:
        self.store = store
        self.keeper = keeper
        self.listeners: dict[str, Listener] = {}
        self.pidfds: dict[int, Identity] = {}
        self.endpoints: list[tuple[Network, Endpoint]] = []
        self.slots = threading.BoundedSemaphore(_AT_ONCE)
        self.poll = select.poll()
        self.actions: dict[int, Callable[[], None]] = {}

    def run(self, ready: int) -> None:
        """Serve until nobody needs it."""
        self.control = self._control()
        self._watch(self.control.fileno(), self._asked_to_look)
        os.close(ready)
        self.fresh = True  # whoever started us asks us to look next, and is waited for
        while True:
            events = self.poll.poll(10_000 if self.fresh else None)
            if self.fresh and not events:
                return
            for fd, _ in events:
                action = self.actions.get(fd)
                if action:
                    _go_on_after(action)

    def _control(self) -> socket.socket:
        fd, path = dns_socket.connect_path(self.store)
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
        control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        control.bind(path)
        os.close(fd)
        control.listen(256)
        return control

    def _watch(self, fd: int, action: Callable[[], None]) -> None:
        self.actions[fd] = action
        self.poll.register(fd, select.POLLIN)

    def _ignore(self, fd: int) -> None:
        if self.actions.pop(fd, None):
            self.poll.unregister(fd)

    # ------------------------------------------------------------ who is there

    def _asked_to_look(self) -> None:
        try:
            client, _ = self.control.accept()
        except OSError:  # who asked is gone, or too many are here at once
            return
        self.fresh = False
        try:
            client.settimeout(_CLIENT_PATIENCE)
            client.recv(64)
            try:
                self.look()
                said = "ok" if self.endpoints else f"bye {self._last()}"
            except Exception as error:  # also what a damaged file makes of us: it is told
                said = f"error {error}"
            client.send(said.encode())
        except OSError:
            pass
        finally:
            client.close()
        if not self.endpoints:
            os._exit(0)

    def _last(self) -> int:
        """With whose end all of us are gone."""
        return self.keeper if os.getppid() == self.keeper else os.getpid()

    def look(self) -> None:
        """Read the store: listen where somebody is, and nowhere else."""
        found = []
        for network in self.store.up():
            if not network.default and not network.damaged:
                found += [(network, e) for e in self.store.endpoints(network) if _lives(e)]
        self.endpoints = found
        self._watch_processes({Identity(e.pid, e.start) for _, e in found})
        networks = {network.id: network for network, _ in found}
        for known, listener in list(self.listeners.items()):
            if known not in networks or _index(listener.network.bridge) != listener.index:
                self._stop(known)  # a bridge that was made anew has another number
        for network in networks.values():
            if network.id not in self.listeners:
                self._listen(network)

    def _watch_processes(self, wanted: set[Identity]) -> None:
        for pidfd, process in list(self.pidfds.items()):
            if process not in wanted:
                self._ignore(pidfd)
                os.close(pidfd)
                del self.pidfds[pidfd]
        for process in wanted - set(self.pidfds.values()):
            try:
                pidfd = syscalls.pidfd_open(process.pid)
            except Failure:
                continue
            self.pidfds[pidfd] = process
            self._watch(pidfd, self._somebody_ended)

    def _somebody_ended(self) -> None:
        try:
            self.look()
        except Exception:  # a damaged file: then the kernel alone says who is left
            self.endpoints = [(n, e) for n, e in self.endpoints if _lives(e)]
            self._watch_processes({Identity(e.pid, e.start) for _, e in self.endpoints})
        if not self.endpoints:
            os._exit(UNASKED)

    def _listen(self, network: Network) -> None:
        try:
            listener = Listener(network, _index(network.bridge))
        except OSError as error:
            raise by_errno(error.errno)(_explained(error, network)) from None
        self.listeners[network.id] = listener
        self._watch(listener.udp.fileno(), lambda: self._datagram(listener))
        self._watch(listener.tcp.fileno(), lambda: self._connection(listener))

    def _stop(self, identifier: str) -> None:
        listener = self.listeners.pop(identifier)
        for listening in (listener.udp, listener.tcp):
            self._ignore(listening.fileno())
        listener.close()

    # ------------------------------------------------------------ questions

    def _datagram(self, listener: Listener) -> None:
        try:
            message, client = listener.udp.recvfrom(_DATAGRAM)
        except OSError:
            return
        question = names.parse(message)
        if question is None:
            return
        answer = self.own_answer(question, listener.network, client[0], tcp=False)
        if answer is not None:
            _send(listener.udp, answer, client)
            return
        servers = self.servers(listener.network, client[0])

        def ask() -> None:
            said = _forwarded(message, servers, _by_udp)
            _send(listener.udp, said or names.refusal(question, names.SERVER_FAILURE), client)

        self._aside(ask)

    def _connection(self, listener: Listener) -> None:
        try:
            connection, client = listener.tcp.accept()
        except OSError:
            return
        network = listener.network

        def converse() -> None:
            connection.settimeout(_CLIENT_PATIENCE)
            try:
                while message := _receive_whole(connection):
                    question = names.parse(message)
                    if question is None:
                        return
                    answer = self.own_answer(question, network, client[0], tcp=True)
                    if answer is None:
                        servers = self.servers(network, client[0])
                        answer = _forwarded(message, servers, _by_tcp)
                    answer = answer or names.refusal(question, names.SERVER_FAILURE)
                    connection.sendall(struct.pack("!H", len(answer)) + answer)
            except (OSError, struct.error):
                pass
            finally:
                connection.close()

        if not self._aside(converse):
            connection.close()

    def _aside(self, work: Callable[[], None]) -> bool:
        """Do what may take long beside the loop; not if too much is under way."""
        if not self.slots.acquire(blocking=False):
            return False

        def do() -> None:
            try:
                work()
            finally:
                self.slots.release()

        try:
            threading.Thread(target=do, daemon=True).start()
        except RuntimeError:  # a limit on processes is reached
            self.slots.release()
            return False
        return True

    def _view(
        self, network: Network, client: str
    ) -> tuple[Endpoint | None, list[tuple[Network, Endpoint]]]:
        """Who asks from ``client``, and all endpoints on that container's networks."""
        asking = next(
            (e for n, e in self.endpoints if n.id == network.id and client in e.addresses), None
        )
        if asking is None:
            return None, []
        mine = {n.id for n, e in self.endpoints if e.container == asking.container}
        return asking, [(n, e) for n, e in self.endpoints if n.id in mine]

    def own_answer(
        self, question: names.Question, network: Network, client: str, *, tcp: bool
    ) -> bytes | None:
        """What we know ourselves; None if others have to be asked."""
        _, visible = self._view(network, client)
        if question.kind != names.IN:
            return None if self.servers(network, client) else _no(question)
        if question.type == names.PTR:
            return self._reverse(question, visible, network, client, tcp)
        found = [a for n, e in visible if question.name in called(n, e) for a in e.addresses]
        if found:
            random.shuffle(found)  # an alias of several containers: each gets its share
            return names.answer(question, found, tcp=tcp)
        return None if self.servers(network, client) else _no(question)

    def _reverse(
        self,
        question: names.Question,
        visible: list[tuple[Network, Endpoint]],
        network: Network,
        client: str,
        tcp: bool,
    ) -> bytes | None:
        address = names.asked_address(question.name)
        found = [f"{e.name}.{n.name}" for n, e in visible if address and address in e.addresses]
        if found:
            return names.answer_names(question, found, tcp=tcp)
        ours = address and any(address in subnet for n, _ in visible for subnet, _ in n.subnets)
        return None if not ours and self.servers(network, client) else _no(question)

    def servers(self, network: Network, client: str) -> list[str]:
        """Whom to ask for a client on ``network``: nobody for an internal one."""
        asking, visible = self._view(network, client)
        if asking is None or all(n.internal for n, e in visible if e.container == asking.container):
            return []
        return list(asking.dns) or host.nameservers()


def called(network: Network, endpoint: Endpoint) -> set[str]:
    """All names that a container has on a network, in lower case."""
    names_ = {endpoint.name, *endpoint.aliases, endpoint.container[:12]}
    return {name.lower() for name in (*names_, *(f"{n}.{network.name}" for n in names_))}


def _go_on_after(action: Callable[[], None]) -> None:
    """Whatever a question makes of us, the next one is answered: all networks wait for us."""
    try:
        action()
    except Exception:
        time.sleep(_PAUSE)  # what is not taken from its socket is there again at once


def _no(question: names.Question) -> bytes:
    return names.refusal(question, names.NO_SUCH_NAME)


def _lives(endpoint: Endpoint) -> bool:
    return Identity(endpoint.pid, endpoint.start).alive()


def _index(bridge: str) -> int:
    try:
        return socket.if_nametoindex(bridge)
    except OSError:
        return 0


def _explained(error: OSError, network: Network) -> str:
    from mydocker.network.ports import holder

    who = holder(_PORT, "udp") or holder(_PORT, "tcp")
    taken = f", which {who} has" if error.errno == 98 and who else ""
    return f"cannot listen at {network.gateway} port {_PORT}{taken}: {error.strerror}"


def _send(udp: socket.socket, message: bytes, client: tuple[str, int]) -> None:
    try:
        udp.sendto(message, client)
    except OSError:  # the client is gone, or the network: nobody to tell
        pass


def _forwarded(
    message: bytes, servers: list[str], ask: Callable[[bytes, str], bytes]
) -> bytes | None:
    """The answer of the first server that gives one."""
    for server in servers:
        try:
            return ask(message, server)
        except (OSError, struct.error, Failure):
            continue
    return None


def _outward(server: str, kind: int) -> socket.socket:
    version, _ = addresses.number(server)
    asking = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, kind)
    asking.settimeout(_UPSTREAM_PATIENCE)
    try:
        asking.connect((server, _PORT))  # connected: only this server's answers are heard
    except BaseException:
        asking.close()
        raise
    return asking


def _by_udp(message: bytes, server: str) -> bytes:
    with _outward(server, socket.SOCK_DGRAM) as asking:
        # An id of our own: who guesses the client's cannot answer in the server's place.
        ours = os.urandom(2)
        asking.send(ours + message[2:])
        until = time.monotonic() + _UPSTREAM_PATIENCE
        while time.monotonic() < until:
            answer = asking.recv(_DATAGRAM)
            if answer[:2] == ours:
                return message[:2] + answer[2:]
        raise TimeoutError


def _by_tcp(message: bytes, server: str) -> bytes:
    with _outward(server, socket.SOCK_STREAM) as asking:
        asking.sendall(struct.pack("!H", len(message)) + message)
        answer = _receive_whole(asking)
        if not answer:
            raise OSError("the server closed the connection")
        return answer


def _receive_whole(connection: socket.socket) -> bytes:
    """One message over TCP: its length in two bytes, and then it; b"" at the end."""
    head = _receive(connection, 2)
    return _receive(connection, struct.unpack("!H", head)[0]) if len(head) == 2 else b""


def _receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            return b""
        data += piece
    return data

"""The loop of a monitor, the one process that stays beside a running container.

It carries what the container writes into its log and to whoever is attached, what they type to the
container, and learns of its end. It must be small, for there is one for each container: when a
container has run for a moment, the process replaces itself (execve(2)) by a fresh Python that loads
only this module, ``slim`` and ``logfile``. It stays the same process, the parent of the
container's, and its descriptors stay open; what it knows goes along in a file in memory. All else
is loaded again when the container ends.

Who attaches connects to the socket ``<run>/monitors/<id>``, SOCK_SEQPACKET, and speaks in packets
whose first byte says what they are:

to the monitor
    ``a`` attach, then a byte of flags: 1 I type, 2 I read; ``w`` tell me of the end, ``i`` typed,
    ``c`` no more will be typed, ``r`` the window's size as rows and columns, ``k`` a signal's
    number, ``s`` do not start it again
from the monitor
    ``o`` and ``e`` what it wrote to its standard output and error, ``x`` the end: the exit code,
    and a line for each remark; ``t`` a request to the kernel, as JSON, for ``--explain``
"""

import _signal  # type: ignore[import-not-found]
import _socket
import fcntl
import marshal
import posix as os  # the C half of os: the other half takes a quarter of a megabyte
import select
import time

if __name__ == "supervisor":  # the slim process, in which no package is loaded
    from logfile import Log  # type: ignore[import-not-found]
else:
    from mydocker.engine.monitor.logfile import Log

TYPE_CHECKING = False  # nor typing
if TYPE_CHECKING:
    from typing import Any

TYPES, READS = 1, 2
SLIM_AFTER = 1.0  # seconds; most containers of a `run --rm` are gone by then
_CHUNK = 32 << 10  # of one packet
_TIOCSWINSZ = 0x5414  # set the window's size (ioctl_tty(2))
_FULL = 256 << 10  # what waits for one client; then the container waits too
OUTPUTS = {"out": ("stdout", b"o"), "err": ("stderr", b"e"), "master": ("stdout", b"o")}


class Client:
    """Somebody at the socket."""

    def __init__(self, socket: _socket.socket, flags: int = 0) -> None:
        self.socket = socket
        self.flags = flags
        self.waiting: list[bytes] = []

    @property
    def full(self) -> bool:
        return sum(map(len, self.waiting)) > _FULL


class Supervisor:
    """``facts``: all that is known, in marshal's types, so that it can be handed on by execve.

    ``id root run path environment``, of the process ``pid pidfd``, of its streams ``out err master
    input`` (-1 where there is none), of the log ``log log_size log_files``, ``listener`` of the
    socket, ``once`` the input ends when the first who typed goes away, ``kept`` descriptors that
    must stay open, ``pending`` what was typed and not read yet, and ``health`` when its tests come,
    empty if there are none (``probes``).
    """

    def __init__(self, facts: "dict[str, Any]", clients: list[Client]) -> None:
        self.facts = facts
        self.clients = clients
        self.stopped = False  # somebody asked that it be not started again
        self.slim = False
        self.log: Log | None = None
        self.remarks: list[str] = []
        self.probes: Any = None  # which most have not, and do not import
        self.listener: _socket.socket | None = None
        if facts["listener"] >= 0:
            self.listener = _socket.socket(fileno=facts["listener"])
        self.begin()

    def begin(self) -> None:
        """The container (re)started: look at its new descriptors."""
        facts = self.facts
        self.log = None
        if facts["log"]:
            self.log = Log(facts["log"], facts["log_size"], facts["log_files"])
            self.log.go_on(facts["begun"])
        for name in ("out", "err", "master", "input"):
            if facts[name] >= 0:
                os.set_blocking(facts[name], False)
        if facts.get("health"):
            self.probes = _probes(facts)

    # ------------------------------------------------------------ the loop

    def watch(self, timeout: float = -1.0) -> int | None:
        """Until the container's process ends: its wait status. None if ``timeout`` came first."""
        end = time.monotonic() + timeout
        while True:
            left = -1 if timeout < 0 else max(0.0, end - time.monotonic()) * 1000
            ready = self._poll(left)
            if self.facts["pidfd"] in ready:
                self._drain()
                if self.probes is not None:
                    self.probes.stop()
                    self.probes = None
                _, status = os.waitpid(self.facts["pid"], 0)
                return status
            if timeout >= 0 and time.monotonic() >= end:
                return None

    def wait_for_stop(self, seconds: float) -> bool:
        """Between two starts: serve who comes; True if somebody wants no further start."""
        end = time.monotonic() + seconds
        while not self.stopped and (left := end - time.monotonic()) > 0:
            self._poll(left * 1000)
        return self.stopped

    def _poll(self, milliseconds: float) -> set[int]:
        facts, poll = self.facts, select.poll()
        if facts["pidfd"] >= 0:
            poll.register(facts["pidfd"], select.POLLIN)
        if self.listener is not None:
            poll.register(self.listener.fileno(), select.POLLIN)
        held_up = any(client.full for client in self.clients)
        for name in OUTPUTS:
            if facts[name] >= 0 and not held_up:
                poll.register(facts[name], select.POLLIN)
        typed = facts["master"] if facts["master"] >= 0 else facts["input"]
        if facts["pending"] and typed >= 0:
            also = select.POLLIN if typed == facts["master"] and not held_up else 0
            poll.register(typed, also | select.POLLOUT)
        for client in self.clients:
            hears = 0 if facts["pending"] and client.flags & TYPES else select.POLLIN
            poll.register(client.socket, hears | (select.POLLOUT if client.waiting else 0))
        if self.probes is not None:
            milliseconds = self.probes.patience(milliseconds)
            if self.probes.fd >= 0:
                poll.register(self.probes.fd, select.POLLIN)
        ready = dict(poll.poll(milliseconds))
        for client in list(self.clients):
            if event := ready.get(client.socket.fileno(), 0):
                self._serve(client, event)
        for name in OUTPUTS:
            if ready.get(facts[name], 0) & (select.POLLIN | select.POLLHUP | select.POLLERR):
                self._carry(name)
        if facts["pending"] and typed >= 0 and ready.get(typed, 0) & ~select.POLLIN:
            self._hand_over(typed)
        if self.listener is not None and self.listener.fileno() in ready:
            self._accept()
        if self.probes is not None and facts["pidfd"] not in ready:
            self.probes.go_on(set(ready))
        return set(ready)

    def _carry(self, name: str) -> bool:
        """Read once from the container; False if there is nothing more for now, or for ever."""
        fd = self.facts[name]
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return False
        except OSError:  # EIO: nobody has the terminal open
            data = b""
        if not data:
            self._close(name)
            return False
        stream, letter = OUTPUTS[name]
        if self.log is not None:
            self.log.add(stream, data)
        for client in list(self.clients):
            if client.flags & READS:
                self.send(client, letter + data)
        return True

    def _drain(self) -> None:
        """What its processes wrote before they died is still in the pipes."""
        for name in OUTPUTS:
            while self.facts[name] >= 0 and self._carry(name):
                continue

    def _close(self, name: str) -> None:
        if self.facts[name] >= 0:
            os.close(self.facts[name])
            self.facts[name] = -1

    # ------------------------------------------------------------ clients

    def _accept(self) -> None:
        assert self.listener is not None
        try:
            fd, _ = self.listener._accept()  # type: ignore[attr-defined]
        except OSError:
            return
        self.clients.append(Client(_socket.socket(fileno=fd)))

    def send(self, client: Client, packet: bytes) -> None:
        """Send a packet, or keep it until the client reads."""
        client.waiting.append(packet)
        self._flush(client)

    def _flush(self, client: Client) -> None:
        try:
            while client.waiting:
                client.socket.send(client.waiting[0], _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL)
                del client.waiting[0]
        except BlockingIOError:
            return
        except OSError:
            self._leave(client)

    def _serve(self, client: Client, event: int) -> None:
        if event & select.POLLOUT:
            self._flush(client)
        if not event & (select.POLLIN | select.POLLHUP | select.POLLERR):
            return
        if client not in self.clients:
            return
        try:
            packet = client.socket.recv(_CHUNK + 1, _socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if not packet:
            self._leave(client)
            return
        self._hear(client, packet[:1], packet[1:])

    def _hear(self, client: Client, kind: bytes, data: bytes) -> None:
        if kind == b"a":
            client.flags = data[0]
        elif kind == b"i":
            self._type(data)
        elif kind == b"c":
            self._end_input()
        elif kind == b"r" and self.facts["master"] >= 0:
            try:
                fcntl.ioctl(self.facts["master"], _TIOCSWINSZ, data + b"\0" * 4)
            except OSError:
                return
        elif kind == b"k" and self.facts["pidfd"] >= 0:
            self._signal(data[0])
        elif kind == b"s":
            self.stopped = True

    def _signal(self, number: int) -> None:
        try:
            _signal.pidfd_send_signal(self.facts["pidfd"], number)
        except OSError:
            return  # it ended just now

    def _type(self, data: bytes) -> None:
        self.facts["pending"] += data
        typed = self.facts["master"] if self.facts["master"] >= 0 else self.facts["input"]
        if typed >= 0:
            self._hand_over(typed)

    def _end_input(self) -> None:
        if self.facts["master"] >= 0:
            self._type(b"\x04")  # the end of a file is Ctrl-D on a terminal
        elif self.facts["pending"]:
            self.facts["ending"] = True  # when the container has read what is left
        else:
            self._close("input")

    def _hand_over(self, fd: int) -> None:
        facts = self.facts
        try:
            facts["pending"] = facts["pending"][os.write(fd, facts["pending"]) :]
        except BlockingIOError:
            return
        except OSError:  # nobody reads it any more
            facts["pending"] = b""
            self._close("input")
        if not facts["pending"] and facts["ending"]:
            self._close("input")

    def _leave(self, client: Client) -> None:
        if client in self.clients:
            self.clients.remove(client)
        client.socket.close()
        if client.flags & TYPES and self.facts["once"] and self.facts["master"] < 0:
            self._end_input()

    def tell_all(self, packet: bytes) -> None:
        """Tell every client something, and wait some seconds for those who are slow."""
        for client in list(self.clients):
            self.send(client, packet)
        for client in list(self.clients):
            while client in self.clients and client.waiting:
                if not select.select([], [client.socket], [], 10.0)[1]:
                    break
                self._flush(client)

    # ------------------------------------------------------------ become small

    def become_slim(self) -> None:
        """Replace this program by the one in ``slim``, with everything that it knows."""
        clients = []
        for client in self.clients:
            clients.append((client.socket.fileno(), client.flags, client.waiting))
        if self.log is not None:
            self.facts["begun"] = self.log.begun()
        data = marshal.dumps((self.facts, clients))
        fd = os.memfd_create("mydocker-monitor")
        os.write(fd, data)
        os.lseek(fd, 0, 0)
        names = ("pidfd", "listener", *OUTPUTS, "input")
        kept = [fd, *self.facts["kept"], *(client[0] for client in clients)]
        kept += [self.probes.fd] if self.probes is not None and self.probes.fd >= 0 else []
        kept += [self.facts[name] for name in names if self.facts[name] >= 0]
        for number in kept:
            os.set_inheritable(number, True)
        python = self.facts["python"]
        # -I -S -E: nobody's packages and variables, and nothing that Python loads by itself.
        # Imported, and not run as a script: a script would be compiled anew each time.
        directory = __file__.rpartition("/")[0]
        program = f"import sys; sys.path[:0] = [{directory!r}]; import slim; slim.main()"
        arguments = [python, "-ISE", "-c", program, str(fd), self.facts["name"]]
        os.execve(python, arguments, self.facts["environment"])


def _probes(facts: "dict[str, Any]") -> "Any":
    if __name__ == "supervisor":
        from probes import Probes  # type: ignore[import-not-found]
    else:
        from mydocker.engine.monitor.probes import Probes
    return Probes(facts)

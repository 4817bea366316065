"""Real packets: from the sandbox, which acts as the host, from containers, from the outside."""

import json
import os
import secrets
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sandbox.launcher import Launcher, eventually
from sandbox.patience import patience

# What a client does, in one short Python program: run in any network namespace by nsenter(1).
_CLIENT = """
import socket, sys
kind, host, port, text, source = sys.argv[1:]
family = socket.AF_INET6 if ":" in host else socket.AF_INET
client = socket.socket(family, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
client.bind(("", int(source)))
client.settimeout(float(1.5))
client.connect((host, int(port)))
client.sendall(text.encode())
sys.stdout.write(client.recv(4096).decode())
"""
# And a server that answers "<token> <what came>", over TCP and UDP, IPv4 and IPv6.
_SERVER = """
import select, socket, sys
token, *ports = sys.argv[1:]
sockets = []
for port in ports:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        server = socket.socket(socket.AF_INET6, kind)
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        server.bind(("::", int(port)))
        if kind == socket.SOCK_STREAM:
            server.listen(64)
        sockets.append(server)
print("ready", flush=True)
while True:
    for server in select.select(sockets, [], [])[0]:
        if server.type == socket.SOCK_DGRAM:
            data, client = server.recvfrom(4096)
            server.sendto(f"{token} {data.decode()} {client[0]}".encode(), client)
        else:
            connection, client = server.accept()
            data = connection.recv(4096)
            connection.sendall(f"{token} {data.decode()} {client[0]}".encode())
            connection.close()
"""
_SENDER = """
import socket, sys
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.sendto(b"x", (sys.argv[1], int(sys.argv[2])))
"""
HOST = 0  # where: the sandbox itself


class Wires:
    """Clients, servers and pings in network namespaces, each named by a pid in it (0: the host)."""

    def __init__(self, launcher: Launcher) -> None:
        self.launcher = launcher
        self._started: list[subprocess.Popen[str]] = []
        self._links: list[str] = []
        self._containers: list[tuple[subprocess.Popen[str], int]] = []

    def command(self, where: int, *arguments: str) -> list[str]:
        """A command line that runs in the network namespace of ``where``."""
        enter = ["nsenter", f"--net=/proc/{where}/ns/net", "--"] if where else []
        return [*enter, *arguments]

    def do(self, where: int, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a namespace."""
        return subprocess.run(
            self.command(where, *arguments), capture_output=True, text=True, timeout=patience(30)
        )

    def ip(self, where: int, *arguments: str) -> str:
        """``ip …`` in a namespace; fails the test if it fails."""
        done = self.do(where, "ip", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def serve(self, where: int, *ports: int) -> str:
        """Start a server on these ports in a namespace; the random word that it answers with."""
        token = secrets.token_hex(8)
        argv = [sys.executable, "-ESsc", _SERVER, token, *map(str, ports)]
        made = subprocess.Popen(self.command(where, *argv), stdout=subprocess.PIPE, text=True)
        self._started.append(made)
        assert made.stdout is not None
        assert made.stdout.readline() == "ready\n"
        return token

    def ask(self, where: int, host: str, port: int, kind: str = "tcp", source: int = 0) -> str:
        """What a server answers to a random word, "" for no answer. It must have got the word.

        ``source``: the client's port, if it matters.
        """
        word = secrets.token_hex(4)
        argv = [sys.executable, "-ESsc", _CLIENT, kind, host, str(port), word, str(source)]
        answer = self.do(where, *argv).stdout.split()
        if not answer:
            return ""
        assert answer[1] == word, "an answer to another question"
        return answer[0]

    def unheard(self, where: int) -> int:
        """The UDP datagrams that came into a namespace for ports at which nobody listens."""
        with open(f"/proc/{where}/net/snmp") as file:
            titles, values = [line.split() for line in file if line.startswith("Udp:")]
        return int(values[titles.index("NoPorts")])

    def send(self, where: int, host: str, port: int) -> None:
        """Send one datagram, and wait for nothing."""
        argv = [sys.executable, "-ESsc", _SENDER, host, str(port)]
        assert self.do(where, *argv).returncode == 0

    def ask_all(self, *questions: tuple[int, str, int, str]) -> list[str]:
        """As :meth:`ask`, all at once: where none may answer, the waits go on side by side."""
        with ThreadPoolExecutor(len(questions)) as pool:
            return list(pool.map(lambda question: self.ask(*question), questions))

    def seen_as(self, where: int, host: str, port: int) -> str:
        """The address that a server at ``host`` sees us come from."""
        argv = [sys.executable, "-ESsc", _CLIENT, "tcp", host, str(port), "word", "0"]
        answer = self.do(where, *argv).stdout.split()
        return answer[2].removeprefix("::ffff:") if answer else ""

    def ping(self, where: int, address: str) -> bool:
        """True if ``address`` answers an echo request within a second."""
        six = ["-6"] if ":" in address else []
        done = self.do(where, "busybox", "ping", *six, "-c1", "-W1", address)
        return done.returncode == 0

    def received(self, where: int) -> int:
        """The IP packets that a namespace has received, as its own kernel counts them."""
        with open(f"/proc/{where}/net/snmp") as file:
            _, values = [line.split() for line in file if line.startswith("Ip:")]
        return int(values[3])

    def resolve(self, where: int, server: str, name: str, kind: str = "a") -> list[str]:
        """The addresses (or names) that a DNS server knows for a name."""
        done = self.do(where, "busybox", "nslookup", f"-type={kind}", name, server)
        _, _, answers = done.stdout.partition("answer:")
        words = [line.split() for line in answers.splitlines()]
        return sorted(w[-1] for w in words if w and w[0] in ("Address:", "Address"))

    def namespace(self) -> int:
        """A new network namespace: the pid of a process that waits in it."""
        made = subprocess.Popen(
            ["unshare", "--net", "--kill-child", "sleep", "600"], text=True, stdout=None
        )
        self._started.append(made)
        own = os.readlink("/proc/self/ns/net")
        eventually(lambda: os.readlink(f"/proc/{made.pid}/ns/net") != own or None)
        return made.pid

    def outside(self) -> int:
        """Another machine, 203.0.113.9, on a wire to ours, 203.0.113.1. It has no route to us."""
        pid = self.namespace()
        self.ip(HOST, "link", "add", "wan0", "type", "veth", "peer", "eth0", "netns", str(pid))
        self._links.append("wan0")
        self.ip(HOST, "addr", "add", "203.0.113.1/24", "dev", "wan0")
        self.ip(HOST, "addr", "add", "2001:db8::1/64", "dev", "wan0", "nodad")
        self.ip(HOST, "link", "set", "wan0", "up")
        self.ip(pid, "link", "set", "lo", "up")
        self.ip(pid, "addr", "add", "203.0.113.9/24", "dev", "eth0")
        self.ip(pid, "addr", "add", "2001:db8::9/64", "dev", "eth0", "nodad")
        self.ip(pid, "link", "set", "eth0", "up")
        return pid

    def container(
        self, *options: str, command: tuple[str, ...] = ("sleep", "600")
    ) -> tuple[subprocess.Popen[str], int]:
        """A container of step 04: its ``run``, and its pid on the host once it is up."""
        started = self.launcher.start(4, "run", *options, "busybox", *command)
        pid = self._inside(started, command[0])
        self._containers.append((started, pid))
        return started, pid

    def end(self, started: subprocess.Popen[str], pid: int) -> None:
        """End a container's process, and wait until its ``run`` has cleaned up."""
        if started.poll() is None:
            os.kill(pid, signal.SIGKILL)  # the first process of a PID namespace ignores SIGTERM
        started.wait(30)

    def _inside(self, started: subprocess.Popen[str], name: str) -> int:
        def ended_or_there() -> int | None:
            if started.poll() is not None:
                assert started.stderr is not None
                pytest.fail(f"the container did not start: {started.stderr.read()}")
            return self._child(started.pid, name)

        return eventually(ended_or_there, 60, f"{name} below {started.pid}")

    def _child(self, pid: int, name: str) -> int | None:
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
            if words and words[0].decode() == name:
                return int(child)
        return None

    def address(self, where: int, interface: str = "eth0", version: int = 4) -> str:
        """The address of an interface in a namespace."""
        shown = self.ip(
            where, "-br", f"-{version}", "addr", "show", "dev", interface, "scope", "global"
        )
        return shown.split()[2].partition("/")[0]

    def gateway(self, where: int) -> str:
        """The gateway of a namespace's default route."""
        (route,) = json.loads(self.ip(where, "-j", "-4", "route", "show", "default"))
        return str(route["gateway"])

    def stop(self) -> None:
        """End what was started here and remove the wires. May be called twice."""
        while self._containers:
            self.end(*self._containers.pop())
        while self._started:
            made = self._started.pop()
            made.send_signal(signal.SIGKILL)
            made.wait()
            if made.stdout is not None:
                made.stdout.close()
        while self._links:
            subprocess.run(["ip", "link", "del", self._links.pop()], capture_output=True)

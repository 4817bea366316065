"""Containers find each other by name; the three files in /etc."""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from sandbox.launcher import Launcher, eventually
from sandbox.machine import Sandbox
from sandbox.patience import patience
from sandbox.wires import HOST, Wires

from mydocker.network import names

pytestmark = pytest.mark.root


@pytest.fixture
def blue(network: Launcher) -> str:
    """A network called blue, and its gateway, where the server of names is."""
    network(4, "network", "create", "--subnet", "10.77.0.0/24", "blue")
    return "10.77.0.1"


def read(pid: int, path: str) -> str:
    """A file as a container sees it."""
    with open(f"/proc/{pid}/root{path}") as file:
        return file.read()


def test_names_and_aliases(wires: Wires, blue: str) -> None:
    _, web = wires.container("--net", "blue", "--name", "web", "--network-alias", "www")
    _, other = wires.container("--net", "blue", "--name", "Other", "--network-alias", "www")
    _, asking = wires.container("--net", "blue")
    assert read(asking, "/etc/resolv.conf").splitlines()[0] == f"nameserver {blue}"
    assert wires.resolve(asking, blue, "web") == [wires.address(web)]
    assert wires.resolve(asking, blue, "WEB.blue") == [wires.address(web)]
    assert wires.resolve(asking, blue, "other") == [wires.address(other)]
    assert wires.resolve(asking, blue, "www") == sorted(map(wires.address, (web, other)))
    token = wires.serve(web, 80)
    # and not only by a program that asks DNS: the C library's resolver, as everybody's
    inside = ["nsenter", "-t", str(asking), "-n", "-m", "-p", "--", "busybox", "ping", "-c1", "web"]
    assert wires.do(HOST, *inside).returncode == 0
    assert token


def test_names_go_with_their_container(wires: Wires, blue: str) -> None:
    web = wires.container("--net", "blue", "--name", "web")
    _, asking = wires.container("--net", "blue")
    assert wires.resolve(asking, blue, "web") == [wires.address(web[1])]
    wires.end(*web)
    assert wires.resolve(asking, blue, "web") == []


def test_names_of_other_networks_are_not_told(wires: Wires, blue: str, network: Launcher) -> None:
    network(4, "network", "create", "--subnet", "10.78.0.0/24", "red")
    _, web = wires.container("--net", "blue", "--name", "web")
    _, both = wires.container("--net", "red", "--net", "blue", "--name", "both")
    _, asking = wires.container("--net", "red")
    assert wires.resolve(asking, "10.78.0.1", "web") == []
    assert wires.resolve(asking, "10.78.0.1", "both") == [wires.address(both, "eth0")]
    assert wires.resolve(both, "10.78.0.1", "web") == [wires.address(web)]
    assert wires.resolve(web, blue, "both") == [wires.address(both, "eth1")]
    assert wires.resolve(asking, blue, "web") == [], "another network's server"
    assert wires.resolve(HOST, blue, "web") == [], "not for the host"


def ptr(wires: Wires, where: int, server: str, address: str) -> list[str]:
    name = ".".join(reversed(address.split("."))) + ".in-addr.arpa"
    shown = wires.do(where, "busybox", "nslookup", "-type=ptr", name, server).stdout
    return [line.split()[-1] for line in shown.splitlines() if "name = " in line]


def test_addresses_have_names(wires: Wires, blue: str) -> None:
    _, web = wires.container("--net", "blue", "--name", "web")
    assert ptr(wires, web, blue, wires.address(web)) == ["web.blue"]


@pytest.fixture
def upstream(wires: Wires) -> Iterator[str]:
    """A name server outside that answers 192.0.2.7 to everything, over UDP and TCP."""
    outside = wires.outside()
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/proc/{outside}/ns/net", os.O_RDONLY)
    ready, stop = threading.Event(), threading.Event()

    def serve() -> None:
        import ctypes

        ctypes.CDLL(None).setns(there, 0)  # only this thread moves
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("203.0.113.9", 53))
        tcp = socket.create_server(("203.0.113.9", 53))
        udp.settimeout(0.05)
        tcp.settimeout(0.05)
        ready.set()
        while not stop.is_set():
            try:
                message, client = udp.recvfrom(4096)
                # First what somebody sends who guesses the id: it is answered as another question.
                false = names.parse(message)
                assert false is not None
                guessed = bytes([message[0] ^ 1]) + names.answer(false, ["198.51.100.6"])[1:]
                udp.sendto(guessed, client)
                udp.sendto(answer(message), client)
            except TimeoutError:
                pass
            try:
                connection, _ = tcp.accept()
                with connection:
                    data = connection.recv(4096)
                    said = answer(data[2:])
                    connection.sendall(len(said).to_bytes(2, "big") + said)
            except TimeoutError:
                pass
        udp.close()
        tcp.close()

    def answer(message: bytes) -> bytes:
        question = names.parse(message)
        assert question is not None
        return names.answer(question, ["192.0.2.7"], tcp=True)

    thread = threading.Thread(target=serve)
    thread.start()
    ready.wait()
    yield "203.0.113.9"
    stop.set()
    thread.join()
    os.close(here)
    os.close(there)


def test_the_rest_is_asked_of_others(wires: Wires, blue: str, upstream: str) -> None:
    """And what somebody answers who only guesses the id of our question is not believed."""
    _, asking = wires.container("--net", "blue", "--dns", upstream)
    assert wires.resolve(asking, blue, "example.com") == ["192.0.2.7"]
    query = b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\0\x07example\x03com\0\0\x01\0\x01"
    program = (
        "import socket,sys;s=socket.create_connection((sys.argv[1],53),3);"
        "q=bytes.fromhex(sys.argv[2]);s.sendall(len(q).to_bytes(2,'big')+q);"
        "print(s.recv(4096)[2:].hex())"
    )
    shown = wires.do(asking, "python3", "-c", program, blue, query.hex()).stdout
    assert bytes.fromhex(shown.strip()).endswith(bytes([192, 0, 2, 7]))


# Sends each datagram of its input, a line of hexadecimal digits, and the same over TCP; then asks
# for a name until the answer with its own id is there, or two seconds passed.
FLOOD = """
import socket, struct, sys
server, name = sys.argv[1:]
packets = [bytes.fromhex(line) for line in sys.stdin]
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.connect((server, 53))
for packet in packets:
    udp.send(packet)
for start in range(0, len(packets), 20):
    with socket.create_connection((server, 53), 3) as tcp:
        try:
            for packet in packets[start:start + 20]:
                tcp.sendall(struct.pack("!H", len(packet)) + packet)
        except OSError:
            pass
labels = b"".join(bytes([len(p)]) + p.encode() for p in name.split("."))
question = b"\\xab\\xcd\\x01\\0\\0\\x01" + bytes(6) + labels + b"\\0\\0\\x01\\0\\x01"
udp.settimeout(2)
for _ in range(10):
    udp.send(question)
    try:
        while (said := udp.recv(4096))[:2] != question[:2]:
            continue
    except TimeoutError:
        continue
    print(said.hex())
    break
"""
HEADER = "1234 0100 0001 0000 0000 0000 "
PTR_AND_END = "00 000c 0001"
DEADLY = [
    HEADER + "02 6666 " * 32 + "03 697036 04 61727061 " + PTR_AND_END,  # ff.ff.….ip6.arpa
    HEADER + "02 3078 " * 32 + "03 697036 04 61727061 " + PTR_AND_END,  # 0x.0x.….ip6.arpa
    HEADER + "01 b2 " * 32 + "03 697036 04 61727061 " + PTR_AND_END,  # a digit only for Unicode
    HEADER + "03 323536 " * 4 + "07 696e2d61646472 04 61727061 " + PTR_AND_END,
    HEADER + "01 00 " * 4 + "07 696e2d61646472 04 61727061 " + PTR_AND_END,
    HEADER + "c0 0c " + PTR_AND_END,
    HEADER + "40 " + "61" * 64 + PTR_AND_END,
    HEADER + "3f",
    HEADER,
    "00",
    "1234 8180 0001 0001 0000 0000 00 0001 0001",  # an answer
    "1234 7900 0001 0000 0000 0000 00 0001 0001",  # an opcode that nobody knows
]


def test_no_packet_ends_the_server(wires: Wires, blue: str) -> None:
    _, web = wires.container("--net", "blue", "--name", "web")
    server = processes("mydocker-dns")
    flood(wires, web, blue, [packet.replace(" ", "") for packet in DEADLY])
    randomly = random.Random(os.urandom(4).hex())
    packets = [bytes.fromhex(packet) for packet in DEADLY]
    flood(wires, web, blue, [mutated(randomly, packets).hex() for _ in range(1000)])
    assert wires.resolve(web, blue, "web") == [wires.address(web)]
    assert processes("mydocker-dns") == server, "the same one, which was never started again"


def flood(wires: Wires, where: int, server: str, packets: list[str]) -> None:
    argv = wires.command(where, sys.executable, "-ESsc", FLOOD, server, "web")
    said = subprocess.run(
        argv, input="\n".join(packets), capture_output=True, text=True, timeout=patience(60)
    )
    assert said.stdout, f"no answer any more, after {packets[:20]}: {said.stderr}"
    assert bytes.fromhex(said.stdout.strip()).endswith(socket.inet_aton(wires.address(where)))


def mutated(randomly: random.Random, packets: list[bytes]) -> bytes:
    """One of the packets with some bytes changed, left out, or put in."""
    packet = bytearray(randomly.choice(packets))
    for _ in range(randomly.randint(0, 6)):
        place = randomly.randint(0, len(packet))
        put_in = bytes(
            randomly.choices([*range(256), 0, 12, 63, 64, 192], k=randomly.randint(0, 3))
        )
        packet[place : place + randomly.randint(0, 3)] = put_in
    return bytes(packet)


def test_an_internal_network_asks_nobody(wires: Wires, network: Launcher, upstream: str) -> None:
    network(4, "network", "create", "--internal", "--subnet", "10.79.0.0/24", "cell")
    _, asking = wires.container("--net", "cell", "--dns", upstream, "--name", "me")
    assert wires.resolve(asking, "10.79.0.1", "me") == [wires.address(asking)]
    assert wires.resolve(asking, "10.79.0.1", "example.com") == []


def processes(name: str) -> list[int]:
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm") as comm, open(f"/proc/{pid}/stat") as stat:
                same_place = os.readlink(f"/proc/{pid}/ns/net") == os.readlink("/proc/self/ns/net")
                if comm.read().strip() == name and same_place and ") Z" not in stat.read():
                    found.append(int(pid))
        except OSError:
            continue
    return found


def test_one_server_for_all_and_none_for_nobody(wires: Wires, blue: str, network: Launcher) -> None:
    network(4, "network", "create", "red")
    assert processes("mydocker-dns") == []
    one, two = wires.container("--net", "blue"), wires.container("--net", "red")
    assert len(processes("mydocker-dns")) == 1
    wires.end(*one)
    assert len(processes("mydocker-dns")) == 1
    wires.end(*two)
    eventually(lambda: processes("mydocker-dns") == processes("mydocker-names") == [])


def test_the_server_ends_though_nobody_tells_it(wires: Wires, blue: str, sandbox: Sandbox) -> None:
    started, _ = wires.container("--net", "blue")
    assert processes("mydocker-dns")
    started.kill()  # the kernel kills the container with it, and no release happens
    started.wait()
    for name in ("mydocker-dns", "mydocker-names"):
        eventually(lambda name=name: not processes(name), what="the end of the server")  # type: ignore[misc]
    assert not (sandbox.run / "network" / "dns").exists()


def test_a_server_that_was_killed_is_started_again(wires: Wires, blue: str) -> None:
    """Though nobody types a command, and as often as it is killed."""
    _, web = wires.container("--net", "blue", "--name", "web")
    for _ in range(2):
        (killed,) = processes("mydocker-dns")
        os.kill(killed, signal.SIGKILL)
        eventually(lambda: wires.resolve(web, blue, "web") == [wires.address(web)])
        assert killed not in processes("mydocker-dns")
        eventually(lambda: len(processes("mydocker-names")) == 1, what="one keeper")


def test_of_a_server_without_a_keeper_the_next_command_sees_to_it(wires: Wires, blue: str) -> None:
    one = wires.container("--net", "blue")
    for name in ("mydocker-names", "mydocker-dns"):
        os.kill(processes(name)[0], signal.SIGKILL)
    eventually(lambda: not processes("mydocker-dns"))
    two = wires.container("--net", "blue", "--name", "web")
    assert wires.resolve(one[1], blue, "web") == [wires.address(two[1])]
    os.kill(processes("mydocker-names")[0], signal.SIGKILL)
    wires.end(*one)
    wires.end(*two)
    assert processes("mydocker-dns") == []


def test_nobody_is_kept_for_nobody(wires: Wires, blue: str) -> None:
    """One that was killed when the last container had just ended stays dead."""
    started, _ = wires.container("--net", "blue")
    (server,), (keeper,) = processes("mydocker-dns"), processes("mydocker-names")
    os.kill(server, signal.SIGSTOP)  # it does not see the end
    started.kill()
    started.wait()
    os.kill(server, signal.SIGKILL)
    eventually(lambda: keeper not in processes("mydocker-names"), what="the keeper's end")
    assert processes("mydocker-dns") == processes("mydocker-names") == []


def test_a_server_that_ended_unasked_leaves_no_socket(
    wires: Wires, blue: str, sandbox: Sandbox
) -> None:
    """It ends by itself when it sees the last container's end, which may be before it is asked."""
    web = wires.container("--net", "blue", "--name", "web")
    socket_file = sandbox.run / "network" / "dns"
    assert socket_file.exists()
    for name in ("mydocker-names", "mydocker-dns"):
        os.kill(processes(name)[0], signal.SIGKILL)
    eventually(lambda: not processes("mydocker-dns"))
    wires.end(*web)
    assert not socket_file.exists()


def test_the_three_files(wires: Wires) -> None:
    _, inside = wires.container(
        *("--hostname", "box", "--add-host", "db:10.1.2.3", "--add-host", "gw:host-gateway"),
        *("--dns", "192.0.2.53", "--dns-search", "example.org", "--dns-option", "ndots:3"),
    )
    address, gateway = wires.address(inside), wires.gateway(inside)
    hosts = read(inside, "/etc/hosts").splitlines()
    expected = {"127.0.0.1\tlocalhost", "10.1.2.3\tdb", f"{gateway}\tgw", f"{address}\tbox"}
    assert expected <= set(hosts)
    assert read(inside, "/etc/hostname") == "box\n"
    resolving = "nameserver 192.0.2.53\nsearch example.org\noptions ndots:3\n"
    assert read(inside, "/etc/resolv.conf") == resolving
    mounts = read(inside, f"/proc/{1}/mounts")
    assert all(f" /etc/{name} " in mounts for name in ("hosts", "hostname", "resolv.conf"))


def test_connecting_tells_the_new_names(wires: Wires, blue: str, network: Launcher) -> None:
    _, web = wires.container("--net", "blue", "--name", "web")
    _, late = wires.container("--name", "late")
    network(4, "network", "connect", "--alias", "newcomer", "blue", "late")
    assert wires.resolve(late, blue, "web") == [wires.address(web)]
    assert wires.resolve(web, blue, "newcomer") == [wires.address(late, "eth1")]
    assert read(late, "/etc/resolv.conf").splitlines()[0] == f"nameserver {blue}"
    assert wires.address(late, "eth1") in read(late, "/etc/hosts")
    network(4, "network", "disconnect", "blue", "late")
    assert wires.resolve(web, blue, "newcomer") == []

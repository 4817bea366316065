"""Containers on networks, looked at by real packets from every side."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from sandbox.launcher import Launcher, eventually
from sandbox.wires import HOST, Wires

pytestmark = pytest.mark.root


def test_two_containers_reach_each_other_and_the_host(wires: Wires) -> None:
    _, one = wires.container()
    _, two = wires.container()
    token = wires.serve(two, 7000)
    assert wires.address(one) != wires.address(two)
    assert wires.ping(one, wires.address(two)), "no answer from one container to the other"
    assert wires.ask(one, wires.address(two), 7000) == token
    assert wires.ask(one, wires.address(two), 7000, "udp") == token
    assert wires.ask(HOST, wires.address(two), 7000) == token


def test_the_outside_is_reached_with_the_hosts_address(wires: Wires) -> None:
    outside = wires.outside()
    token = wires.serve(outside, 80)
    _, inside = wires.container()
    before = wires.received(outside)
    answer = wires.ask(inside, "203.0.113.9", 80)
    came = wires.received(outside) - before
    assert answer == token, f"no answer from outside, where {came} packets of the question came"
    assert wires.seen_as(inside, "203.0.113.9", 80) == "203.0.113.1"


def test_a_published_port_is_reached_from_everywhere(wires: Wires) -> None:
    outside = wires.outside()
    _, server = wires.container("-p", "8080:80", "-p", "5300:53/udp")
    _, neighbour = wires.container()
    token = wires.serve(server, 80, 53)
    for name, where, host in (
        ("another machine", outside, "203.0.113.1"),
        ("the host", HOST, "203.0.113.1"),
        ("the host", HOST, "127.0.0.1"),
        ("a neighbour", neighbour, "203.0.113.1"),
        ("the server itself", server, "203.0.113.1"),
    ):
        assert wires.ask(where, host, 8080) == token, f"{name} asked {host}:8080"
    assert wires.ask(outside, "203.0.113.1", 5300, "udp") == token, "another machine asked by udp"
    assert wires.ask(HOST, "127.0.0.1", 5300, "udp") == token, "the host asked by udp"
    other = wires.serve(outside, 8080)
    for name, where in (("the host", HOST), ("a neighbour", neighbour)):
        answer = wires.ask(where, "203.0.113.9", 8080)
        assert answer == other, f"{name} asked another machine's port 8080"
    assert wires.ask(outside, "203.0.113.1", 80) == ""
    assert wires.ask(outside, "203.0.113.1", 5300) == ""
    assert wires.seen_as(outside, "203.0.113.1", 8080) == "203.0.113.9"


def test_a_port_for_one_address_is_reached_there_only(wires: Wires) -> None:
    outside = wires.outside()
    _, server = wires.container("-p", "127.0.0.1:8081:80", "-p", "203.0.113.1:8082:80")
    token = wires.serve(server, 80)
    assert wires.ask(HOST, "127.0.0.1", 8081) == token, "127.0.0.1:8081 did not answer"
    assert wires.ask(outside, "203.0.113.1", 8081) == "", "203.0.113.1:8081 answered"
    assert wires.ask(outside, "203.0.113.1", 8082) == token, "203.0.113.1:8082 did not answer"
    assert wires.ask(HOST, "127.0.0.1", 8082) == "", "127.0.0.1:8082 answered"


def test_the_outside_reaches_127_0_0_1_by_no_trick(wires: Wires) -> None:
    outside = wires.outside()
    _, server = wires.container("-p", "127.0.0.1:8081:80")
    token = wires.serve(server, 80)
    host_only = wires.serve(HOST, 7001)
    for attacker, gateway in ((outside, "203.0.113.1"), (server, wires.gateway(server))):
        # who is root there can send packets to 127.0.0.1 on the wire
        wires.do(attacker, "sysctl", "-qw", "net.ipv4.conf.eth0.route_localnet=1")
        wires.do(attacker, "ip", "addr", "del", "127.0.0.1/8", "dev", "lo")
        wires.ip(attacker, "route", "add", "127.0.0.1", "via", gateway, "dev", "eth0")
    assert wires.ask(HOST, "127.0.0.1", 8081) == token
    assert wires.ask(HOST, "127.0.0.1", 7001) == host_only
    assert wires.ask(outside, "127.0.0.1", 8081) == ""
    assert wires.ask(server, "127.0.0.1", 7001) == ""


def test_nothing_but_published_ports_can_be_reached_from_outside(wires: Wires) -> None:
    outside = wires.outside()
    _, server = wires.container("-p", "8080:80")
    wires.serve(server, 80, 81)
    address = wires.address(server)
    wires.ip(outside, "route", "add", address, "via", "203.0.113.1")
    assert not wires.ping(outside, address)
    assert wires.ask_all((outside, address, 80, "tcp"), (outside, address, 81, "tcp")) == ["", ""]


@contextmanager
def foreign(rule: str) -> Iterator[None]:
    """A rule of somebody else, for what comes to this machine."""
    chain = "type nat hook prerouting priority -101"
    table = f"table ip foreign {{\nchain x {{\n{chain}\n{rule}\n}}\n}}\n"
    subprocess.run(["nft", "-f", "-"], input=table, text=True, check=True)
    try:
        yield
    finally:
        subprocess.run(["nft", "delete", "table", "ip", "foreign"], check=True)


def test_who_may_send_to_whom(wires: Wires, network: Launcher) -> None:
    """By datagrams, counted where they arrive: nothing is waited for that may not come."""
    network(4, "network", "create", "blue")
    network(4, "network", "create", "--internal", "cell")
    who = {"outside": wires.outside()}
    for name, options in (
        ("one", ()),
        ("friend", ()),
        ("blue", ("--net", "blue", "-p", "8080:80/udp")),
        ("cell", ("--net", "cell")),
    ):
        _, who[name] = wires.container(*options)
    address = {name: wires.address(pid) for name, pid in who.items()} | {"host": "203.0.113.1"}
    wires.ip(who["outside"], "route", "add", "10.0.0.0/8", "via", "203.0.113.1")
    gateway = address["cell"].rpartition(".")[0] + ".1"
    wires.ip(who["cell"], "route", "add", "default", "via", gateway)
    before = {name: wires.unheard(pid) for name, pid in who.items()}
    refused = "outside>one:80 outside>blue:81 outside>cell:80 blue>one:80 one>blue:80 one>cell:80"
    refused += " one>host:8080 cell>one:80 cell>host:8080 cell>outside:80"
    with foreign(f"udp dport 9000 dnat to {address['cell']}:80"):
        wires.send(who["outside"], address["host"], 9000)
    for way in f"{refused} friend>one:80 outside>host:8080 blue>outside:80".split():
        sender, receiver, port = re.split("[>:]", way)
        wires.send(who[sender], address[receiver], int(port))

    def arrived() -> dict[str, int]:
        return {name: wires.unheard(pid) - before[name] for name, pid in who.items()}

    wanted = {"outside": 1, "one": 1, "friend": 0, "blue": 1, "cell": 0}
    with suppress(pytest.fail.Exception):
        eventually(lambda: all(arrived()[name] >= count for name, count in wanted.items()), 3)
    assert arrived() == wanted


def test_networks_do_not_reach_each_other(wires: Wires, network: Launcher) -> None:
    outside = wires.outside()
    network(4, "network", "create", "blue")
    network(4, "network", "create", "red")
    _, blue = wires.container("--net", "blue", "-p", "8080:80")
    _, red = wires.container("--net", "red")
    _, friend = wires.container("--net", "blue")
    _, default = wires.container()
    token = wires.serve(blue, 80)
    address = wires.address(blue)
    assert wires.ask(friend, address, 80) == token
    for stranger in (red, default):
        assert not wires.ping(stranger, address)
        asked = ((address, 80, "tcp"), (address, 80, "udp"), ("203.0.113.1", 8080, "tcp"))
        answers = wires.ask_all(*((stranger, *question) for question in asked))
        assert dict(zip(asked, answers, strict=True)) == dict.fromkeys(asked, "")
    assert wires.ask(outside, "203.0.113.1", 8080) == token


def test_an_internal_network_has_no_way_out_and_none_in(wires: Wires, network: Launcher) -> None:
    outside = wires.outside()
    token = wires.serve(outside, 80)
    host = wires.serve(HOST, 7002)
    network(4, "network", "create", "--internal", "cell")
    wires.container()  # of the default network: with it, the machine forwards
    _, one = wires.container("--net", "cell", "-p", "8080:80")
    _, two = wires.container("--net", "cell")
    inner = wires.serve(one, 80)
    gateway = json.loads(network(4, "network", "inspect", "cell").stdout)[0]["IPAM"]["Config"][0]
    assert wires.ask(two, wires.address(one), 80) == inner
    assert wires.ip(two, "route", "show", "default") == ""
    # it may be root inside and help itself to a route
    wires.ip(two, "route", "add", "default", "via", gateway["Gateway"])
    received = wires.received(outside)
    assert wires.ask(two, "203.0.113.9", 80) == ""
    assert not wires.ping(two, "203.0.113.9")
    assert wires.ask(two, "203.0.113.9", 80, "udp") == ""
    assert wires.received(outside) == received, "not one packet gets out, answered or not"
    assert not wires.ping(two, "203.0.113.1"), "the host's other addresses"
    assert wires.ask(two, "203.0.113.1", 7002) == ""
    assert wires.ask(two, gateway["Gateway"], 7002) == host, "the host at its gateway"
    assert wires.ask(outside, "203.0.113.1", 8080) == ""
    wires.ip(outside, "route", "add", "10.0.0.0/8", "via", "203.0.113.1")
    assert not wires.ping(outside, wires.address(one))
    received = wires.received(one)
    with foreign(f"tcp dport 9000 dnat to {wires.address(one)}:80"):
        assert wires.ask(outside, "203.0.113.1", 9000) == ""
        assert wires.received(one) == received
    assert token


def test_a_port_goes_with_its_container(wires: Wires) -> None:
    outside = wires.outside()
    wires.container()
    web = wires.container("-p", "8080:80")
    address = wires.address(web[1])
    wires.end(*web)
    _, heir = wires.container()
    assert wires.address(heir) == address, "the address is free again"
    wires.serve(heir, 80)
    assert wires.ask(outside, "203.0.113.1", 8080) == ""
    assert wires.ask(HOST, "127.0.0.1", 8080) == ""


def test_who_goes_on_sending_reaches_the_next_container_with_the_port(wires: Wires) -> None:
    """To the kernel datagrams between the same ports are one connection, as long as they come."""
    outside = wires.outside()
    first = wires.container("-p", "8053:53/udp")
    token = wires.serve(first[1], 53)
    gone = wires.address(first[1])
    assert wires.ask(outside, "203.0.113.1", 8053, "udp", source=4000) == token
    wires.end(*first)
    wires.container()  # which has the address now
    _, heir = wires.container("-p", "8053:53/udp")
    assert wires.address(heir) != gone
    token = wires.serve(heir, 53)
    assert wires.ask(outside, "203.0.113.1", 8053, "udp", source=4000) == token


def test_ipv6_where_it_is_asked_for(wires: Wires, network: Launcher) -> None:
    outside = wires.outside()
    network(4, "network", "create", "--ipv6", "six")
    network(4, "network", "create", "--ipv6", "other")
    _, one = wires.container("--net", "six", "-p", "8086:80")
    _, two = wires.container("--net", "six")
    _, stranger = wires.container("--net", "other")
    address = wires.address(one, version=6)
    token = wires.serve(one, 80)
    there = wires.serve(outside, 80)
    assert address.startswith("fd")
    assert wires.ask(two, address, 80) == token
    assert wires.ask(stranger, address, 80) == ""
    assert wires.ask(two, "2001:db8::9", 80) == there
    assert wires.seen_as(two, "2001:db8::9", 80) == "2001:db8::1"
    assert wires.ask(outside, "2001:db8::1", 8086) == token
    wires.ip(outside, "route", "add", "fd00::/8", "via", "2001:db8::1")
    assert wires.ask(outside, address, 80) == ""


def test_without_ipv6_there_is_none(wires: Wires) -> None:
    _, inside = wires.container()
    assert "inet6" not in wires.ip(inside, "addr", "show", "dev", "eth0")


@pytest.mark.parametrize(
    ("net", "links"), [("none", {"lo"}), ("bridge", {"lo", "eth0"}), ("host", None)]
)
def test_modes(wires: Wires, net: str, links: set[str] | None) -> None:
    _, inside = wires.container("--net", net)
    shown = {
        line.split()[0].partition("@")[0] for line in wires.ip(inside, "-br", "link").splitlines()
    }
    own = {line.split()[0].partition("@")[0] for line in wires.ip(HOST, "-br", "link").splitlines()}
    assert shown == (own if links is None else links)


def test_another_containers_network(wires: Wires) -> None:
    _, first = wires.container("--name", "first")
    _, second = wires.container("--net", "container:first")
    token = wires.serve(first, 7003)
    assert wires.ask(second, "127.0.0.1", 7003) == token
    assert wires.address(second) == wires.address(first)


def test_what_was_asked_for_is_what_there_is(wires: Wires, network: Launcher) -> None:
    network(4, "network", "create", "--subnet", "10.77.0.0/24", "-o", "mtu=1300", "blue")
    # as on most machines, the name is taken on the host
    wires.ip(HOST, "link", "add", "eth0", "type", "veth", "peer", "eth0-far")
    wires._links.append("eth0")
    _, inside = wires.container(
        "--net", "blue", "--ip", "10.77.0.200", "--mac-address", "02:00:00:12:34:56"
    )
    assert wires.address(inside) == "10.77.0.200"
    shown = wires.ip(inside, "link", "show", "dev", "eth0")
    assert "02:00:00:12:34:56" in shown
    assert "mtu 1300" in shown


def test_a_container_on_two_networks(wires: Wires, network: Launcher) -> None:
    network(4, "network", "create", "blue")
    network(4, "network", "create", "--internal", "cell")
    _, both = wires.container("--net", "cell", "--net", "blue")
    _, blue = wires.container("--net", "blue")
    _, cell = wires.container("--net", "cell")
    token = wires.serve(both, 80)
    assert wires.ask(cell, wires.address(both, "eth0"), 80) == token
    assert wires.ask(blue, wires.address(both, "eth1"), 80) == token
    assert "dev eth1" in wires.ip(both, "route", "show", "default")


def test_packets_are_seen_on_the_bridge(wires: Wires) -> None:
    _, one = wires.container()
    _, two = wires.container()

    def frames() -> int:
        shown = json.loads(wires.ip(HOST, "-j", "-s", "link", "show", "dev", "mydocker0"))
        return int(shown[0]["stats64"]["rx"]["packets"])

    assert wires.ping(one, wires.address(two))
    shown = wires.do(HOST, "bridge", "fdb", "show", "br", "mydocker0", "dynamic").stdout
    for pid in (one, two):
        mac = json.loads(wires.ip(pid, "-j", "link", "show", "dev", "eth0"))[0]["address"]
        assert mac in shown, "the bridge has learnt where it is"
    before = frames()
    assert wires.ping(one, wires.gateway(one))
    assert frames() > before


def switched(version: int) -> str:
    """The kernel's switch for forwarding."""
    path = {4: "ipv4/ip_forward", 6: "ipv6/conf/all/forwarding"}[version]
    return Path(f"/proc/sys/net/{path}").read_text().strip()


def test_forwarding_is_on_meanwhile_and_the_machine_is_no_router_for_others(wires: Wires) -> None:
    outside = wires.outside()
    third = wires.namespace()
    wires.ip(HOST, "link", "add", "lan0", "type", "veth", "peer", "eth0", "netns", str(third))
    wires._links.append("lan0")
    wires.ip(HOST, "addr", "add", "198.51.100.1/24", "dev", "lan0")
    wires.ip(HOST, "link", "set", "lan0", "up")
    wires.ip(third, "addr", "add", "198.51.100.2/24", "dev", "eth0")
    wires.ip(third, "link", "set", "eth0", "up")
    wires.ip(third, "route", "add", "default", "via", "198.51.100.1")
    wires.ip(outside, "route", "add", "default", "via", "203.0.113.1")
    assert switched(4) == "0"
    container = wires.container()
    assert switched(4) == "1"
    assert not wires.ping(third, "203.0.113.9"), "we would route between strangers"
    wires.end(*container)
    eventually(lambda: switched(4) == "0", what="forwarding off again")


def test_forwarding_that_was_on_stays_on(wires: Wires) -> None:
    switch = Path("/proc/sys/net/ipv4/ip_forward")
    try:
        switch.write_text("1")
        wires.end(*wires.container())
        gone = ["ip", "link", "show", "mydocker0"]
        eventually(lambda: subprocess.run(gone, capture_output=True).returncode != 0)
        assert switched(4) == "1"
    finally:
        switch.write_text("0")


@pytest.mark.root
def test_the_suite_begins_with_forwarding_off_wherever_it_runs() -> None:
    """A machine that is a router, as every one with Docker, hands that on to new namespaces."""
    script = (
        "from sandbox.machine import begin_network\n"
        "from pathlib import Path\n"
        "switches = [Path('/proc/sys/net', name) for name in"
        " ('ipv4/ip_forward', 'ipv6/conf/all/forwarding')]\n"
        "switches = [switch for switch in switches if switch.exists()]\n"
        "for switch in switches: switch.write_text('1')\n"
        "begin_network()\n"
        "print(*(switch.read_text().strip() for switch in switches))\n"
    )
    tests = Path(__file__).parents[1]
    command = ["unshare", "--net", sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tests, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"0"}

"""What needs no machine: addresses, batches, rulesets, messages of DNS, forms of options."""

import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mydocker.kernel.errors import Failure
from mydocker.network import addresses, etc, firewall, host, ipam, links, names, ports, small_dns
from mydocker.network.addresses import Subnet, Taken
from mydocker.network.attachment import PortBinding
from mydocker.network.store import Endpoint, Network, Published, Store

BLUE = Network(
    id="ab" * 32,
    name="blue",
    created="2026-01-01T00:00:00.000000000Z",
    bridge="md-abababababab",
    subnet="10.86.0.0/22",
    gateway="10.86.0.1",
)
WEB = Endpoint(
    network=BLUE.id,
    container="cd" * 32,
    name="web",
    link=links.host_name("cd" * 32, 0),
    interface="eth0",
    mac="02:42:0a:56:00:02",
    address="10.86.0.2",
    ports=(Published("", 8080, 80, "tcp"), Published("127.0.0.1", 53, 53, "udp")),
)

# ---------------------------------------------------------------- addresses


@given(st.integers(0, 2**32 - 1), st.integers(0, 32))
def test_a_subnet_is_read_as_it_is_written(address: int, prefix: int) -> None:
    subnet = Subnet.around(4, address, prefix)
    assert Subnet.parse(str(subnet)) == subnet
    assert addresses.text(4, address) in subnet


@given(st.integers(0, 2**128 - 1), st.integers(0, 128))
def test_and_of_version_6(address: int, prefix: int) -> None:
    subnet = Subnet.around(6, address, prefix)
    assert Subnet.parse(str(subnet)) == subnet
    assert addresses.text(6, address) in subnet


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(8, 32)), max_size=8))
def test_a_chosen_subnet_overlaps_nothing(used: list[tuple[int, int]]) -> None:
    taken = [Taken(Subnet.around(4, address, prefix), "x") for address, prefix in used]
    try:
        chosen = addresses.choose(taken)
    except Failure:
        return
    assert addresses.culprit(chosen, taken) is None


def test_the_chosen_one_jumps_over_what_is_in_the_way() -> None:
    taken = [Taken(Subnet.parse(s), "x") for s in ("10.0.0.0/8", "192.168.0.0/30")]
    assert str(addresses.choose(taken)) == "192.168.4.0/22"
    with pytest.raises(Failure, match="no free subnet"):
        addresses.choose([Taken(Subnet.parse("0.0.0.0/0"), "x")])


@pytest.mark.parametrize(
    "text", ["", "x", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/-1", "1.2.3/8", "/8"]
)
def test_what_is_no_subnet(text: str) -> None:
    with pytest.raises(Failure):
        Subnet.parse(text)


def test_hosts_are_neither_network_nor_broadcast() -> None:
    hosts = Subnet.parse("10.0.0.0/29").hosts()
    assert [addresses.text(4, n) for n in (hosts[0], hosts[-1])] == ["10.0.0.1", "10.0.0.6"]


def test_routes_of_the_host_are_understood() -> None:
    table = (
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    )
    assert [(str(t.subnet), t.by) for t in host.routes4(table)] == [
        ("192.0.2.0/24", "the route on eth0")
    ]
    six = (
        "fd000000000000000000000000000000 40 0 00 0 0 0 0 0 eth0\n"
        "fe800000000000000000000000000000 40 0 00 0 0 0 0 0 eth0\n"
    )
    assert [str(t.subnet) for t in host.routes6(six)] == ["fd00::/64"]


# ---------------------------------------------------------------- addresses handed out


def reserve(directory: Path, owner: str, **options: object) -> str:
    subnet = Subnet.parse("10.0.0.0/29")
    exists = options.pop("exists", lambda owner: True)
    return ipam.reserve(str(directory), subnet, "10.0.0.1", owner, exists, **options)  # type: ignore[arg-type]


def test_addresses_until_none_is_left(tmp_path: Path) -> None:
    found = [reserve(tmp_path, f"c{i}") for i in range(5)]
    assert found == [f"10.0.0.{i}" for i in range(2, 7)]
    with pytest.raises(Failure, match="no address is left"):
        reserve(tmp_path, "one too many")
    ipam.free(str(tmp_path), "10.0.0.4", "c2")
    assert reserve(tmp_path, "next") == "10.0.0.4"


def test_the_address_of_one_who_is_gone_is_free(tmp_path: Path) -> None:
    for i in range(5):
        reserve(tmp_path, f"c{i}")
    assert reserve(tmp_path, "new", exists=lambda owner: owner != "c3") == "10.0.0.5"
    assert (
        reserve(tmp_path, "me", exists=lambda owner: owner != "c0", wanted="10.0.0.2") == "10.0.0.2"
    )
    with pytest.raises(Failure, match="in use by container new"):
        reserve(tmp_path, "you", wanted="10.0.0.5")


def test_nobody_frees_what_is_anothers(tmp_path: Path) -> None:
    address = reserve(tmp_path, "mine")
    ipam.free(str(tmp_path), address, "yours")
    ipam.free_all(str(tmp_path), "yours")
    assert ipam.holder(str(tmp_path), address) == "mine"


def _take_many(directory: Path, owner: str) -> list[str]:
    subnet = Subnet.parse("10.0.0.0/24")
    return [
        ipam.reserve(str(directory), subnet, "10.0.0.1", f"{owner}{i}", lambda o: True)
        for i in range(30)
    ]


def test_many_at_once_get_different_addresses(tmp_path: Path) -> None:
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(8) as pool:
        results = pool.map(_take_many, [tmp_path] * 8, [f"p{i}-" for i in range(8)])
        found = [address for addresses_ in results for address in addresses_]
    twice = sorted(address for address in set(found) if found.count(address) > 1)
    assert not twice, "two got the same"
    assert len(found) == 240


def test_a_range(tmp_path: Path) -> None:
    ip_range = Subnet.parse("10.0.0.4/31")
    assert [reserve(tmp_path, c, ip_range=ip_range) for c in "ab"] == ["10.0.0.4", "10.0.0.5"]
    with pytest.raises(Failure, match=r"10\.0\.0\.4/31"):
        reserve(tmp_path, "c", ip_range=ip_range)
    for written in ("10.0.0.252/30", "10.0.0.128/25", "10.0.0.0/24"):  # up to the last address
        place = tmp_path / written.replace("/", "-")
        place.mkdir()
        whole, upper, given = Subnet.parse("10.0.0.0/24"), Subnet.parse(written), ["10.0.0.1"]
        with pytest.raises(Failure, match="no address is left"):
            while True:
                owner = f"o{len(given)}"
                given.append(ipam.reserve(str(place), whole, given[0], owner, lambda owner: True,
                                          ip_range=upper))  # fmt: skip
        assert given.pop(0) == "10.0.0.1" and given[-1] == "10.0.0.254"
        assert not {"10.0.0.0", "10.0.0.1", "10.0.0.255"} & set(given)
    six = Subnet.parse("fd00:86::/120")  # few, so that they may be listed
    found = ipam.reserve(str(tmp_path), six, "fd00:86::1", "six", lambda owner: True)
    assert found == "fd00:86::2"


# ---------------------------------------------------------------- batches and rulesets


def test_names_of_links_fit_and_tell_whose_they_are() -> None:
    assert links.host_name("0123456789abcdef", 3) == "veth01234567893"
    assert len(links.host_name("f" * 64, 15)) == 15


def test_the_batches_are_what_a_student_would_type() -> None:
    assert links.bridge(BLUE, ipv6=True, ports=["veth1"]).splitlines() == [
        "link add name md-abababababab address 02:42:0a:56:00:01 mtu 1500 type bridge",
        "link set dev md-abababababab addrgenmode none",
        "address add 10.86.0.1/22 dev md-abababababab",
        "link set dev md-abababababab up",
        "link set dev veth1 master md-abababababab up",
    ]
    assert links.pair(BLUE, WEB, 42, ipv6=False).splitlines() == [
        "link add name vethcdcdcdcdcd0 mtu 1500 master md-abababababab type veth"
        " peer name eth0 address 02:42:0a:56:00:02 mtu 1500 netns 42",
        "link set dev vethcdcdcdcdcd0 up",
    ]
    assert links.inside(BLUE, WEB, ipv6=False, way_out=True).splitlines() == [
        "link set dev eth0 up",
        "address add 10.86.0.2/22 dev eth0",
        "route add default via 10.86.0.1 dev eth0",
    ]


def test_the_ruleset_has_an_element_for_each_port_and_no_rule() -> None:
    bare, full = firewall.ruleset([BLUE], []), firewall.ruleset([BLUE], [WEB])
    assert "{ tcp . 8080 : 10.86.0.2 . 80 }" in full
    assert "{ 127.0.0.1 . udp . 53 : 10.86.0.2 . 53 }" in full
    assert len(bare.splitlines()) == len(full.splitlines())


def test_an_internal_networks_ports_are_not_published() -> None:
    from mydocker.kernel.records import replace

    assert "8080" not in firewall.ruleset([replace(BLUE, internal=True)], [WEB])


# ---------------------------------------------------------------- the store


def test_two_networks_cannot_have_one_name(tmp_path: Path) -> None:
    from mydocker.kernel.records import replace

    store = Store(f"{tmp_path}/root", f"{tmp_path}/run")
    store.add(BLUE)
    with pytest.raises(Failure, match="already exists"):
        store.add(replace(BLUE, id="ef" * 32))
    assert [n.id for n in store.networks()] == [BLUE.id]
    assert store.find("blue") == store.find("abab") == BLUE


def test_an_endpoint_is_read_as_it_was_written(tmp_path: Path) -> None:
    store = Store(f"{tmp_path}/root", f"{tmp_path}/run")
    store.add(BLUE)
    store.mark_up(BLUE)
    store.put(WEB)
    assert store.attached(WEB.container) == [(BLUE, WEB)]
    store.mark_down(BLUE)
    assert store.attached(WEB.container) == []


# ---------------------------------------------------------------- DNS


@given(st.binary(max_size=300))
def test_no_message_breaks_the_parser(message: bytes) -> None:
    for said in (message, query("a", names.PTR)[:12] + message):
        question = names.parse(said)
        if question is not None:
            names.answer(question, ["10.0.0.1"])
            names.asked_address(question.name)


def query(name: str, kind: int) -> bytes:
    labels = b"".join(bytes([len(p)]) + p.encode() for p in name.split("."))
    header = b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\0"
    return header + labels + b"\0" + kind.to_bytes(2, "big") + b"\0\x01"


def records(message: bytes) -> list[tuple[int, int, int, bytes]]:
    """Type, class, TTL and data of each answer, whose name is pointed at or written out."""
    at, found = message.index(b"\0", 12) + 5, []
    for _ in range(int.from_bytes(message[6:8], "big")):
        rest = message[at:]
        try:
            at = at + 2 if message[at] >= 0xC0 else message.index(b"\0", at) + 1
            *values, length = struct.unpack_from("!HHIH", message, at)
        except (struct.error, IndexError, ValueError):
            pytest.fail(f"no whole record in {rest.hex(' ')}")
        at += 10 + length
        found.append((*values, message[at - length : at]))
    assert at == len(message), f"the records' lengths lead to byte {at} of {len(message)}"
    return found


def test_question_and_answer() -> None:
    question = names.parse(query("Web.Blue", names.A))
    assert question is not None
    assert (question.name, question.type, question.id) == ("web.blue", names.A, 0x1234)
    found = ["10.0.0.7", "fd00::7"]
    said = names.answer(question, found)
    assert said[:2] == b"\x12\x34"
    four = (names.A, names.IN, names.TTL, bytes([10, 0, 0, 7]))
    six = (names.AAAA, names.IN, names.TTL, bytes([0xFD, *[0] * 14, 7]))
    for kind, wanted in (("A", [four]), ("AAAA", [six]), ("ANY", [four, six]), ("PTR", [])):
        question = names.parse(query("Web.Blue", getattr(names, kind)))
        assert question is not None
        told = records(names.answer(question, found))
        assert told == wanted, f"type, class, TTL, data; asked for {kind}"
    assert b"Web\x04Blue" in said, "as it came: some clients vary the case on purpose"


def test_what_a_client_wants_of_us_comes_back_to_it() -> None:
    """Recursion desired and the opcode; not what else is in the flags (RFC 1035, 4.1.1)."""
    for flags, said in ((0x0100, 0x8180), (0x0000, 0x8080), (0x2900, 0xA980), (0x06FF, 0x8080)):
        message = bytearray(query("web", names.A))
        message[2:4] = flags.to_bytes(2, "big")
        question = names.parse(bytes(message))
        assert question is not None
        assert int.from_bytes(names.answer(question, ["10.0.0.1"])[2:4], "big") == said
        refused = names.refusal(question, names.NO_SUCH_NAME)
        assert int.from_bytes(refused[2:4], "big") == said | 3


def test_a_label_has_63_bytes_and_a_name_255() -> None:
    longest = ".".join(["a" * 63] * 3 + ["a" * 61])
    for name, good in (("a" * 63, True), ("a" * 64, False), ("a" * 255, False), ("\xc0", False)):
        assert (names.parse(query(name, names.A)) is not None) == good, name
    assert names.parse(query(longest, names.A)) is not None
    assert names.parse(query(longest + "a", names.A)) is None, "256 bytes with its lengths"
    assert names.parse(query(".".join(["a"] * 200), names.A)) is None


def test_a_name_that_dns_cannot_tell_is_left_out() -> None:
    """A container's name may be longer than a label."""
    question = names.parse(query("1.0.86.10.in-addr.arpa", names.PTR))
    assert question is not None
    said = names.answer_names(question, ["a" * 64 + ".blue", "web.blue", ".".join(["ab"] * 99)])
    assert [data for *_, data in records(said)] == [b"\x03web\x04blue\0"]


def test_a_long_answer_is_cut_over_udp_and_whole_over_tcp() -> None:
    question = names.parse(query("all", names.A))
    assert question is not None
    many = [f"10.0.0.{i}" for i in range(1, 100)]
    assert names.answer(question, many)[2] & 0x02
    assert len(names.answer(question, many, tcp=True)) > 99 * 16


def test_reverse_names() -> None:
    assert names.asked_address("2.0.86.10.in-addr.arpa") == "10.86.0.2"
    assert names.asked_address("1." + "0." * 29 + "d.f.ip6.arpa") == "fd00::1"
    assert names.asked_address("x.in-addr.arpa") == names.asked_address("web") == ""
    for digit in ("ff", "0x", "+1", " 1", "1_", "\xb2", "g", ""):
        for count in (1, 32):
            labels = [digit] * count + ["0"] * (32 - count)
            assert names.asked_address(".".join(labels) + ".ip6.arpa") == "", digit
    for other in ("256", "-1", "1 ", "\0", "\xb2", "0x1", ""):
        assert names.asked_address(f"{other}.0.86.10.in-addr.arpa") == "", other


@pytest.mark.parametrize("message", [b"", bytes(12), bytes(13), b"\xff" * 40, bytes(11) + b"\x3f"])
def test_the_small_server_ends_with_no_packet(message: bytes) -> None:
    known = {"red": "10.1.0.2"}
    said = small_dns.answer(query("red", names.A), known)
    assert said.endswith(bytes([10, 1, 0, 2]))
    server, client = Queue([message, query("red", names.A)]), ("192.0.2.1", 1)
    with pytest.raises(Queue.Empty):
        small_dns.serve(server, known)  # type: ignore[arg-type]
    assert server.sent[-1] == (said, client)


class Queue:
    """Datagrams that come, and those that are sent."""

    class Empty(Exception):
        pass

    def __init__(self, messages: list[bytes]) -> None:
        self.messages, self.sent = messages, list[tuple[bytes, tuple[str, int]]]()

    def recvfrom(self, size: int) -> tuple[bytes, tuple[str, int]]:
        if not self.messages:
            raise Queue.Empty
        return self.messages.pop(0)[:size], ("192.0.2.1", 1)

    def sendto(self, message: bytes, client: tuple[str, int]) -> None:
        self.sent.append((message, client))


# ---------------------------------------------------------------- forms


def test_forms_of_ports() -> None:
    assert ports.parse("80") == [PortBinding(80)]
    assert ports.parse("127.0.0.1::80/udp") == [PortBinding(80, "udp", "127.0.0.1")]
    assert ports.parse("[::1]:8080:80")[0].ip == "::1"
    assert ports.parse("0.0.0.0:8080:80")[0].ip == ""
    pairs = [(w.hosts[0], w.container) for w in ports.parse("8000-8002:90-92")]
    assert pairs == [(8000, 90), (8001, 91), (8002, 92)]


@given(st.text(max_size=20))
def test_no_text_breaks_the_forms(text: str) -> None:
    for parse in (ports.parse, etc.parse_extra, Subnet.parse, addresses.check_mac):
        try:
            parse(text)
        except Failure:
            pass


def test_resolv_conf_without_the_hosts_stub() -> None:
    configuration = "nameserver 127.0.0.53\nnameserver 192.0.2.1\nsearch lan home\noptions edns0\n"
    assert etc.host_resolver_text(configuration, [], [], []) == (
        "nameserver 192.0.2.1\nsearch lan home\noptions edns0\n"
    )
    assert etc.host_resolver_text("", [], [], []).count("nameserver") == 2
    assert "search" not in etc.host_resolver_text(configuration, [], ["."], [])


@pytest.mark.root
def test_nft_accepts_every_ruleset() -> None:
    from mydocker.kernel.records import replace

    six = replace(BLUE, id="ef" * 32, bridge="bridge", subnet6="fd00::/64", gateway6="fd00::1")
    web = replace(
        WEB, network=six.id, address6="fd00::2", ports=(*WEB.ports, Published("::1", 1, 1, "tcp"))
    )
    for text in (firewall.ruleset([BLUE, six], [WEB, web], [4, 6]), firewall.ruleset([], [])):
        done = subprocess.run(
            ["unshare", "-n", "nft", "-f", "-"], input=text, text=True, capture_output=True
        )
        assert done.returncode == 0, done.stderr

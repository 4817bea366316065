"""Eight rungs from an empty network namespace to a network, each by hand.

Nothing here uses the rest of the layer: each rung is a list of what a student types, and what to
look at. A rung stands on the ones below it, whose steps come first, unless they would be in the
way. It happens in namespaces that end with it: the machine that is its "host" is a new network
namespace too.
"""

from mydocker.kernel.records import record

HOST, RED, BLUE, GREEN, OUTSIDE = "host", "red", "blue", "green", "outside"


@record
class Step:
    """Something to type in one of the namespaces ``where``, and why; or something to look at.

    ``kind``: "ip" and "nft" are batches for these programs, "write" is ``value > path``, "start" a
    program that goes on running, "look" one whose output is shown; ``fails`` if it should.
    """

    where: str
    kind: str
    text: str
    why: str
    fails: bool = False


@record
class Rung:
    """One rung: ``below`` is how many steps of the ladder it silently stands on."""

    title: str
    below: tuple[Step, ...]
    steps: tuple[Step, ...]


_LO = (
    Step(RED, "look", "ip address", "a new namespace has one link, lo, and it is down"),
    Step(RED, "look", "busybox ping -c1 -W1 127.0.0.1", "not even itself", fails=True),
    Step(RED, "ip", "link set dev lo up", "switch it on"),
    Step(RED, "look", "busybox ping -c1 -W1 127.0.0.1", "now it answers"),
)

_PAIR = (
    Step(HOST, "ip", "link add veth-red type veth peer name eth0 netns {red}", "a cable: two ends"),
    Step(HOST, "ip", "address add 10.1.0.1/24 dev veth-red\nlink set dev veth-red up", "our end"),
    Step(RED, "ip", "address add 10.1.0.2/24 dev eth0\nlink set dev eth0 up", "the far end"),
    Step(HOST, "look", "ip -brief address", "the end that stayed here"),
    Step(RED, "look", "busybox ping -c1 -W2 10.1.0.1", "through the cable"),
)

_BRIDGE = (
    Step(
        HOST,
        "ip",
        "link add br0 type bridge\naddress add 10.1.0.1/24 dev br0\nlink set dev br0 up",
        "a switch made of software; the host is connected to it by the address",
    ),
    Step(
        HOST,
        "ip",
        "link add veth-red master br0 type veth peer name eth0 netns {red}\n"
        "link set dev veth-red up\n"
        "link add veth-blue master br0 type veth peer name eth0 netns {blue}\n"
        "link set dev veth-blue up",
        "two cables, from the switch into two containers",
    ),
    Step(RED, "ip", "address add 10.1.0.2/24 dev eth0\nlink set dev eth0 up", "red's end"),
    Step(BLUE, "ip", "address add 10.1.0.3/24 dev eth0\nlink set dev eth0 up", "blue's end"),
)
_ON_BRIDGE = (
    Step(HOST, "look", "bridge link", "what is plugged in"),
    Step(RED, "look", "busybox ping -c1 -W2 10.1.0.3", "red reaches blue"),
    Step(HOST, "look", "bridge fdb show br br0 dynamic", "the switch has learnt who is where"),
)

_WORLD = (
    Step(
        HOST,
        "ip",
        "link add wan0 type veth peer name eth0 netns {outside}\n"
        "address add 203.0.113.1/24 dev wan0\nlink set dev wan0 up",
        "the host's card, and the wire to the world",
    ),
    Step(OUTSIDE, "ip", "address add 203.0.113.9/24 dev eth0\nlink set dev eth0 up", "a server"),
)
_ROUTE = (
    Step(RED, "look", "busybox ping -c1 -W1 203.0.113.9", "no route: where to?", fails=True),
    Step(RED, "ip", "route add default via 10.1.0.1", "everything else: to the host"),
    Step(HOST, "write", "1 > /proc/sys/net/ipv4/ip_forward", "the host passes packets on"),
    Step(
        RED,
        "look",
        "busybox ping -c1 -W1 203.0.113.9",
        "still nothing: the answer has no way back to 10.1.0.2",
        fails=True,
    ),
    Step(
        HOST,
        "nft",
        "table ip ladder {\n"
        "  chain leaving {\n"
        "    type nat hook postrouting priority srcnat;\n"
        '    ip saddr 10.1.0.0/24 oifname != "br0" masquerade\n'
        "  }\n"
        "}",
        "who leaves, leaves with the host's address",
    ),
)
_OUT = (
    Step(RED, "look", "busybox ping -c1 -W2 203.0.113.9", "and the answer comes back"),
    Step(HOST, "look", "nft list table ip ladder", "the rule that does it"),
)

_PUBLISH = (
    Step(
        RED,
        "start",
        "busybox nc -ll -p 80 -e busybox echo hello from red",
        "a server that says hello",
    ),
    Step(
        HOST,
        "nft",
        "table ip ladder {\n"
        "  chain arriving {\n"
        "    type nat hook prerouting priority dstnat;\n"
        '    iifname "wan0" tcp dport 8080 dnat to 10.1.0.2:80\n'
        "  }\n"
        "}",
        "who asks the host's port 8080 gets red's port 80",
    ),
)
_ASK = (
    Step(OUTSIDE, "look", "busybox nc -w 2 203.0.113.1 8080", "the outside asks the host"),
    Step(OUTSIDE, "look", "busybox nc -w 1 203.0.113.1 80", "and only that port", fails=True),
)

_NAMES = (
    Step(
        HOST,
        "start",
        "python3 {here}/small_dns.py 10.1.0.1 red=10.1.0.2 blue=10.1.0.3",
        "a server of names on the gateway: forty lines, read them",
    ),
    Step(
        BLUE,
        "look",
        "busybox nslookup -type=a red 10.1.0.1",
        "blue asks the gateway; /etc/resolv.conf of a container says just that",
    ),
)

_SECOND = (
    Step(
        HOST,
        "ip",
        "link add br1 type bridge\naddress add 10.2.0.1/24 dev br1\nlink set dev br1 up\n"
        "link add veth-green master br1 type veth peer name eth0 netns {green}\n"
        "link set dev veth-green up",
        "a second switch, for green",
    ),
    Step(
        GREEN,
        "ip",
        "address add 10.2.0.2/24 dev eth0\nlink set dev eth0 up\nroute add default via 10.2.0.1",
        "green's end",
    ),
    Step(GREEN, "look", "busybox ping -c1 -W2 10.1.0.2", "two switches, and the host routes!"),
    Step(
        HOST,
        "nft",
        "table ip ladder {\n"
        "  chain forward {\n"
        "    type filter hook forward priority filter;\n"
        '    iifname "br0" oifname "br1" drop\n'
        '    iifname "br1" oifname "br0" drop\n'
        "  }\n"
        "}",
        "so forbid it",
    ),
    Step(GREEN, "look", "busybox ping -c1 -W1 10.1.0.2", "and now?", fails=True),
)

_CLEAN = (
    Step(HOST, "look", "ip -brief link", "what we made"),
    Step(HOST, "ip", "link delete dev veth-red\nlink delete dev veth-blue", "both ends go"),
    Step(HOST, "ip", "link delete dev br0", "the switch"),
    Step(HOST, "nft", "delete table ip ladder", "the rules"),
    Step(HOST, "write", "0 > /proc/sys/net/ipv4/ip_forward", "as we found it"),
    Step(RED, "look", "ip -brief link", "red's end is gone too: nobody removed it there"),
    Step(HOST, "look", "ip -brief link", "nothing of ours is left"),
    Step(HOST, "look", "nft list ruleset", "nor here"),
)

_LOOPBACK = (_LO[2],)
_CONNECTED = (*_LOOPBACK, *_BRIDGE)
_ROUTED = (*_CONNECTED, *_WORLD, *(step for step in _ROUTE if step.kind != "look"))

RUNGS = (
    Rung("an empty network namespace", (), _LO),
    Rung("a veth pair with addresses", _LOOPBACK, _PAIR),
    Rung("a bridge joins two containers", _LOOPBACK, (*_BRIDGE, *_ON_BRIDGE)),
    Rung("a route and NAT to the outside", (*_CONNECTED, *_WORLD), (*_ROUTE, *_OUT)),
    Rung("a published port", _ROUTED, (*_PUBLISH, *_ASK)),
    Rung("names", _CONNECTED, _NAMES),
    Rung("a second network that cannot reach the first", _ROUTED, _SECOND),
    Rung("clean removal", _ROUTED, _CLEAN),
)


def needed(rung: Rung) -> list[str]:
    """The namespaces that a rung speaks of, besides the host's."""
    steps = (*rung.below, *rung.steps)
    return [name for name in (RED, BLUE, GREEN, OUTSIDE) if any(name == s.where for s in steps)]

# %% [markdown]
# # 04 · Network: from an empty namespace to packets on a bridge
#
# A container's network is made of four things that Linux had long before containers: namespaces,
# cables with two ends, a switch made of software, and a firewall that rewrites addresses. Here you
# put them together by hand, and then watch each packet on its way.
# [Chapter 04](../chapters/04-network.md) tells the rest.
#
# This notebook has a network namespace of its own, so you cannot break your machine's network. Try.

# %%
from workbench import check, exercise, guess, room, shell, start, stop, wait_for

room

# %% [markdown]
# ## Two machines and a switch
#
# `red` and `blue` are processes that sleep, each in its own network namespace. The lines below are
# what you would give to `ip -batch`.

# %%
# needs root
import psutil

from mydocker.kernel import programs
from mydocker.network.membership import inside


def machine():
    """The pid of a process in a network namespace of its own."""
    run = start("python3 steps/01-namespaces/main.py run --net sleep 1000")
    children = psutil.Process(run.pid).children
    return wait_for(lambda: next(child.pid for child in children() if child.name() == "sleep"))


red, blue = machine(), machine()
shell("ip -brief address")
shell(f"nsenter --net=/proc/{red}/ns/net ip -brief address")

# %% [markdown]
# A new namespace has one link, `lo`. Now a bridge here, which plays the host, and a cable to each.

# %% tags=["bridge"]
# needs root
programs.ip_batch(
    f"""\
link add br0 address 02:00:00:00:00:01 type bridge
address add 10.1.0.1/24 dev br0
link set dev br0 up
link add veth-red master br0 type veth peer name eth0 address 02:00:00:00:00:02 netns {red}
link add veth-blue master br0 type veth peer name eth0 address 02:00:00:00:00:03 netns {blue}
link set dev veth-red up
link set dev veth-blue up
"""
)
for pid, address in ((red, "10.1.0.2"), (blue, "10.1.0.3")):
    with inside(pid):
        programs.ip_batch(f"address add {address}/24 dev eth0\nlink set dev eth0 up\n")
shell("ip -brief link")
shell("bridge link | sed 's/state.*//'")

# %% [markdown]
# ## One ping, all its packets
#
# `red` pings `blue`, once. Each of the three, red's card, the switch's two sockets and blue's card,
# is listened to with a packet socket, which is how `tcpdump` does it.
#
# How many frames will leave red's card, before it has its answer?

# %%
my_guess = ...  # frames

# %%
# needs root
from workbench import drawings, packets

# IPv6 would send its own greetings in between.
for pid in (red, blue):
    with inside(pid):
        programs.ip_batch("link set dev eth0 addrgenmode none\naddress flush dev eth0 scope link\n")
        programs.ip_batch("neighbour flush all\n")

places = [("red eth0", red, "eth0"), ("veth-red", None, "veth-red")]
places += [("veth-blue", None, "veth-blue"), ("blue eth0", blue, "eth0")]


def listen_everywhere(places):
    opened = []
    for _, pid, interface in places:
        if pid is None:
            opened.append(packets.listen(interface))
        else:
            with inside(pid):
                opened.append(packets.listen(interface))
    return opened


sockets = listen_everywhere(places)
shell(f"nsenter --net=/proc/{red}/ns/net busybox ping -c 1 -W 2 10.1.0.3 | grep -v round")
frames = [packets.heard(each) for each in sockets]
drawings.sequence([name for name, *_ in places], packets.journey(frames))

# %% tags=["packets"]
# needs root
for frame in frames[0]:
    way = "sent" if frame.outgoing else "got "
    print(f"red {way} {frame.source_mac} → {frame.target_mac}  {frame.kind:4}  {frame.text}")
guess(my_guess, sum(frame.outgoing for frame in frames[0]), "frames")

# %% [markdown]
# Before the ping, a question to everybody (`ff:ff:ff:ff:ff:ff`): *who has this address?* Switches
# and cards know nothing of IP addresses, they deliver to MAC addresses. Blue answers, to red
# alone, and from then on red knows. Ping a second time, and the question is not asked.
#
# What has the switch learnt? It never asked; it has looked at the senders of passing frames.

# %% tags=["learnt"]
# needs root
shell("bridge fdb show br br0 dynamic | sed 's/ master br0//'")

# %% [markdown]
# ## Out into the world: an address is rewritten
#
# A third machine, `world`, is connected to the host by another cable. It has never heard of the
# network 10.1.0.0/24 and has no route to it. Red pings it. The host may forward packets, and one
# rule of the firewall says *masquerade*.
#
# Red sends from 10.1.0.2. Which sender does `world` see?

# %%
my_guess = ...  # an address, as "10.1.0.2"

# %%
# needs root
world = machine()
programs.ip_batch(
    f"""\
link add wan0 type veth peer name eth0 netns {world}
link set dev wan0 addrgenmode none
address add 203.0.113.1/24 dev wan0
link set dev wan0 up
"""
)
with inside(world):
    programs.ip_batch(
        "link set dev eth0 addrgenmode none\naddress add 203.0.113.9/24 dev eth0\n"
        "link set dev eth0 up\n"
    )
with inside(red):
    programs.ip_batch("route add default via 10.1.0.1\n")
shell("sysctl -qw net.ipv4.ip_forward=1 || echo 1 > /proc/sys/net/ipv4/ip_forward")
programs.nft(
    """
    table ip notebook {
      chain leaving {
        type nat hook postrouting priority srcnat;
        ip saddr 10.1.0.0/24 oifname != "br0" masquerade
      }
    }
    """
)
route = [("red eth0", red, "eth0"), ("br0", None, "br0")]
route += [("wan0", None, "wan0"), ("world eth0", world, "eth0")]
sockets = listen_everywhere(route)
shell(f"nsenter --net=/proc/{red}/ns/net busybox ping -c 1 -W 2 203.0.113.9 | grep -v round")
frames = [[f for f in packets.heard(each) if f.kind == "icmp"] for each in sockets]
lanes = [name for name, *_ in route]
drawings.sequence(lanes, packets.journey(frames))

# %% tags=["nat"]
# needs root
for lane, seen in zip(lanes, frames, strict=True):
    print(f"{lane:11}", " | ".join(frame.text for frame in seen))
guess(my_guess, frames[3][0].text.split()[0])

# %% [markdown]
# The address is changed in one place, between the bridge and the outer card, and changed back for
# the answer. The firewall remembers which answer is whose: that is *connection tracking*.
#
# ## The same, by one command
#
# `mydocker run` does all of this. Two containers, and the picture of what is connected to what.

# %% tags=["containers"]
# needs root
shell("mydocker network create office")
shell("mydocker run -d --net office --name web busybox sh -c 'echo hi > /i; httpd -f -h / -p 80'")
shell("mydocker run --rm --net office busybox wget -q -O - http://web/i")

# %%
# needs root
import os

from IPython.display import SVG
from mydocker.network import drawing
from mydocker.network.store import Store

drawn = drawing.look(Store(os.environ["MYDOCKER_ROOT"], os.environ["MYDOCKER_RUN"]))
SVG(drawing.svg(drawn))

# %%
# needs root
shell("mydocker rm -f web && mydocker network rm office")
stop()

# %% [markdown]
# ## Your turn
#
# A piece of mydocker's own source has been cut out, and you write it. The tests are the project's.

# %%
exercise("4.1")

# %% tags=["exercise"]
# needs root
check("4.1")

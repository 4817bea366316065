#!/usr/bin/env python3
"""How fast packets go through our bridge and through a published port, beside docker and podman.

    sudo benchmarks/throughput.py [--seconds N] [--peers docker,podman]

iperf3 in two containers of each tool, and from another "machine", a network namespace behind a
veth, to a port that is published; the tools in turn, some times; shown are medians in Gbit/s and
what they are in per cent of Docker's. iperf3 comes from this machine, by volumes.
"""

import argparse
import json
import os
import statistics
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

from peers import Peer
from private import in_private_place
from run import ready_peers

_VOLUMES = ["-v", "/usr:/usr:ro", "-v", "/usr/lib:/lib:ro", "-v", "/usr/lib64:/lib64:ro"]
_ADDRESS = "203.0.113.1"  # of the private place; these are for documentation only (RFC 5737)
_OUTSIDE = "203.0.113.2"  # and of the other machine


def gigabits(command: list[str]) -> float:
    """What one run of an iperf3 client says."""
    for _ in range(50):
        done = subprocess.run(command, capture_output=True, text=True)
        told = json.loads(done.stdout or "{}")
        if told.get("end"):
            return float(told["end"]["sum_received"]["bits_per_second"]) / 1e9
        time.sleep(0.1)  # the server is not ready yet
    raise SystemExit(f"{' '.join(command)}: {done.stdout}{done.stderr}")


def serve(peer: Peer, port: int) -> str:
    """A server in a container, published on ``port``; its address on the bridge."""
    publish = ["-p", f"{port}:5201"]
    words = peer.begin("-d", "--name", "server", *publish, *_VOLUMES, "busybox", "iperf3", "-s")
    peer.call(*words[len(peer.command) :])
    address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    return peer.call("inspect", "-f", address, "server").strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", default="docker")
    given = parser.parse_args()
    in_private_place(lambda place: measure(place, given))


def another_machine(stack: ExitStack) -> list[str]:
    """Make the machine outside; the words before a command that is to run on it."""
    other = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec sleep infinity"],
                             stdout=subprocess.PIPE)  # fmt: skip
    stack.callback(other.kill)
    assert other.stdout
    other.stdout.read(1)
    there = ["nsenter", "--net", "-t", str(other.pid)]
    for command in (
        ["ip", "link", "add", "here", "type", "veth", "peer", "name", "there",
         "netns", str(other.pid)],
        ["ip", "address", "add", f"{_ADDRESS}/24", "dev", "here"],
        ["ip", "link", "set", "here", "up"],
        [*there, "ip", "address", "add", f"{_OUTSIDE}/24", "dev", "there"],
        [*there, "ip", "link", "set", "there", "up"],
    ):  # fmt: skip
        subprocess.run(command, check=True)
    return there


def measure(place: Path, given: argparse.Namespace) -> None:
    """All tools in turn, so many times."""
    found: dict[str, dict[str, list[float]]] = {}
    with ExitStack() as stack:
        there = another_machine(stack)
        peers = ready_peers(place, given.peers, stack)
        if any(peer.name == "dockerd" for peer in peers):
            for direction in ("-i", "-o"):  # as doctor says: else Docker's rules drop our packets
                rule = ["DOCKER-USER", direction, "mydocker0", "-j", "ACCEPT"]
                subprocess.run(["iptables", "-I", *rule], check=True)
        addresses = {}
        for number, peer in enumerate(peers):
            addresses[peer.name] = serve(peer, 5300 + number)
            stack.callback(peer.call, "rm", "-f", "server")
        client = ["iperf3", "-J", "-t", str(given.seconds), "-c"]
        for _ in range(given.rounds):
            for number, peer in enumerate(peers):
                rows = found.setdefault(peer.name, {"bridge": [], "port": []})
                inside = peer.begin("--rm", *_VOLUMES, "busybox", *client)
                rows["bridge"].append(gigabits([*inside, addresses[peer.name]]))
                outside = [*there, *client, _ADDRESS, "-p", str(5300 + number)]
                rows["port"].append(gigabits(outside))
    for name, rows in found.items():
        shown = []
        for row, values in rows.items():
            speed = statistics.median(values)
            beside = statistics.median(found.get("dockerd", rows)[row])
            shown.append(f"{row} {speed:.1f} Gbit/s ({100 * speed / beside:.0f} %)")
        print(f"{name}: {', '.join(shown)}", flush=True)


if __name__ == "__main__":
    os.chdir(Path(__file__).parent)
    main()

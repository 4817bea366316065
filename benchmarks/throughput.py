#!/usr/bin/env python3
"""How fast packets go through our bridge and through a published port, beside docker and podman.

    sudo benchmarks/throughput.py [--seconds N] [--peers docker,podman]

iperf3 in two containers of each tool, and from outside of them to a port that is published; the
tools in turn, three times; shown are medians in Gbit/s. iperf3 comes from this machine, by volumes.
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
from run import in_private_place, ready_peers

_VOLUMES = ["-v", "/usr:/usr:ro", "-v", "/usr/lib:/lib:ro", "-v", "/usr/lib64:/lib64:ro"]
_ADDRESS = "203.0.113.1"  # of the private place itself, for documentation only (RFC 5737)


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
    peer.call("run", "-d", "--name", "server", *publish, *_VOLUMES, "busybox", "iperf3", "-s")
    address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    return peer.call("inspect", "-f", address, "server").strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--peers", default="docker")
    given = parser.parse_args()
    in_private_place(lambda place: measure(place, given))


def measure(place: Path, given: argparse.Namespace) -> None:
    """All tools in turn, three times."""
    subprocess.run(["ip", "link", "add", "outside", "type", "dummy"], check=True)
    subprocess.run(["ip", "address", "add", f"{_ADDRESS}/24", "dev", "outside"], check=True)
    subprocess.run(["ip", "link", "set", "outside", "up"], check=True)
    found: dict[str, dict[str, list[float]]] = {}
    with ExitStack() as stack:
        peers = ready_peers(place, given.peers, stack)
        addresses = {}
        for number, peer in enumerate(peers):
            addresses[peer.name] = serve(peer, 5300 + number)
            stack.callback(peer.call, "rm", "-f", "server")
        client = ["iperf3", "-J", "-t", str(given.seconds), "-c"]
        for _ in range(3):
            for number, peer in enumerate(peers):
                rows = found.setdefault(peer.name, {"bridge": [], "port": []})
                inside = [*peer.command, "run", "--rm", *_VOLUMES, "busybox", *client]
                rows["bridge"].append(gigabits([*inside, addresses[peer.name]]))
                rows["port"].append(gigabits([*client, _ADDRESS, "-p", str(5300 + number)]))
    for name, rows in found.items():
        shown = ", ".join(f"{row} {statistics.median(v):.1f}" for row, v in rows.items())
        print(f"{name}: {shown} Gbit/s", flush=True)


if __name__ == "__main__":
    os.chdir(Path(__file__).parent)
    main()

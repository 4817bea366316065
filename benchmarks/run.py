#!/usr/bin/env python3
"""Measure mydocker beside docker, podman, runc and crun, where they are installed.

    sudo benchmarks/run.py [--rounds N] [--only start|many|import|images] [--json FILE]
    sudo benchmarks/run.py --against DIR [--only start|many]

Whole processes, from start to end, all tools in turn in each round, so that a slow moment of the
machine hits all alike; shown are medians in milliseconds. Nothing stays on the machine.

``--against`` measures this checkout and another one, with the same Python and packages, and no
launcher. Where the machine has others to serve, ``--fastest`` shows the fastest of all rounds, and
``--processor`` the processor time of the command.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from peers import PEERS, Checkout, Mydocker, Peer
from private import ROOT, in_private_place, took

Row = dict[str, float | None]

one_of: Callable[[list[float]], float] = statistics.median
passed = True  # the time that passed, and not that of the processor


def milliseconds(peer: Peer, command: list[str]) -> float:
    """How long one run of ``command`` takes, of that tool."""
    peer.enter()
    return took(command, peer.settings)[passed]


def measure(commands: Mapping[Peer, list[str] | None], rounds: int) -> Row:
    """One number of each tool, all in turn in each round; the first round is not counted."""
    times: dict[str, list[float]] = {peer.name: [] for peer in commands}
    for turn in range(rounds + 1):
        for peer, words in commands.items():
            if words is not None:
                taken = milliseconds(peer, words)
                times[peer.name] += [taken] if turn else []
    return {name: one_of(taken) if taken else None for name, taken in times.items()}


def starts(peers: list[Peer], rounds: int) -> dict[str, Row]:
    """``true`` in a container, and what of it is Python's start."""
    python, ours = [sys.executable, "-ESs"], [peer for peer in peers if isinstance(peer, Mydocker)]
    rows = {"python3 -c pass": measure({ours[0]: [*python, "-c", "pass"]}, rounds)}
    for number, words in ((1, ["true"]), (2, ["true"]), (3, ["busybox", "true"])):
        title = f"step {number:02d}: main.py run {' '.join(words)}"
        rows[title] = measure(
            {peer: [*python, str(peer.main(number)), "run", *words] for peer in ours}, rounds
        )
    for title, network in (("run, no network", False), ("run, on a bridge", True)):
        rows[title] = measure({peer: peer.run(network=network) for peer in peers}, rounds)
    able = [peer for peer in peers if peer.load(Path()) is not None]
    for peer in able:
        idle = peer.begin("-d", "--net", "none", "--name", "box", "busybox", "sleep", "10000")
        milliseconds(peer, idle)
    for title, asked in (("exec", ["exec", "box", "true"]), ("ps", ["ps"])):
        rows[title] = measure({peer: [*peer.command, *asked] for peer in able}, rounds)
    for peer in able:
        peer.call("rm", "-f", "box")
    return rows


def many(peers: list[Peer], count: int = 200) -> dict[str, Row]:
    """So many idle containers, one after the other: is the last as cheap as the first?

    With the memory of what stays beside each container while it runs: the monitor, or a shim.
    """
    able = [peer for peer in peers if peer.beside]
    rows: dict[str, Row] = {}
    for peer in able:
        times = []
        for number in range(count):
            idle = peer.begin("-d", "--name", f"many{number}", "busybox", "sleep", "1000")
            times.append(milliseconds(peer, idle))
        measured = {
            f"run -d, the first 20 of {count}": one_of(times[:20]),
            "… the last 20": one_of(times[-20:]),
            f"ps with {count}": one_of(
                [milliseconds(peer, [*peer.command, "ps"]) for _ in range(5)]
            ),
            "… memory beside each (PSS), MiB": own_memory(peer.beside) / count,
        }
        for title, value in measured.items():
            rows.setdefault(title, {})[peer.name] = value
        peer.call("rm", "-f", *(f"many{number}" for number in range(count)))
    return rows


def own_memory(word: str) -> float:
    """The proportional set size of all processes with ``word`` in their command line, in MiB."""
    total = 0
    for directory in Path("/proc").glob("[0-9]*"):  # of this place alone
        try:
            if word in (directory / "cmdline").read_text(errors="replace"):
                rollup = (directory / "smaps_rollup").read_text()
                total += int(rollup.partition("\nPss:")[2].split()[0])
        except OSError:  # it ended meanwhile
            continue
    return total / 1024


def imports(peers: list[Peer], rounds: int, place: Path) -> dict[str, Row]:
    """A root file system of 500 MB in 12,000 files, from a tar archive; and the memory it takes.

    Each round has an archive of its own, as nobody imports what is there already. Where many files
    were removed just now, ext4 makes new ones slowly: that is a row of its own.
    """
    archive, rows = make_archive(place), dict[str, Row]()
    able = [peer for peer in peers if peer.load(archive) is not None]
    for title, removed in (("import, 500 MB", False), ("… after rmi of as much", True)):
        times: dict[str, list[float]] = {peer.name: [] for peer in able}
        for turn in range(max(3, rounds // 5)):
            (place / f"{removed}{turn}").touch()
            subprocess.run(["tar", "-C", place, "-rf", archive, f"{removed}{turn}"], check=True)
            for peer in able:
                if removed:
                    peer.call("rmi", "-f", "big")
                os.sync()  # what the one before left to be written is not the next one's time
                times[peer.name].append(milliseconds(peer, peer.load(archive) or []))
        rows[title] = {name: statistics.median(taken) for name, taken in times.items()}
    rows["… peak memory, MiB"] = {Mydocker.name: peak_memory(able[0].load(archive) or [])}
    return rows


def images(peers: list[Peer], rounds: int, place: Path) -> dict[str, Row]:
    """The same 500 MB exported and saved; 100 MB of changes committed, and loaded again."""
    archive, changes = place / "big.tar", place / "changes"
    if not archive.exists():
        make_archive(place)
    changes.mkdir()
    for number in range(100):
        (changes / f"f{number}").write_bytes(os.urandom(1_000_000))
    able = [peer for peer in peers if peer.load(archive) is not None]
    for peer in able:
        peer.call(*(peer.load(archive) or [])[len(peer.command) :])
        peer.call("create", "--name", "big-box", "big", "true")
        peer.call("create", "--name", "changed", "busybox", "true")
        peer.call("cp", str(changes), "changed:/")
        peer.call("commit", "changed", "changed")
        peer.call("save", "-o", f"{place}/changed-{peer.name}.tar", "changed")
    few = max(1, rounds // 5)
    timed = {
        "export, 500 MB": (("export", "-o", "{}", "big-box"), ()),
        "commit, 100 MB": (("commit", "changed", "changed"), ()),
        "save, 500 MB": (("save", "-o", "{}", "big"), ()),
        "load, 100 MB": (("load", "-i", "{}/changed-{}.tar"), ("rmi", "-f", "changed")),
    }
    rows: dict[str, Row] = {}
    for title, (words, before) in timed.items():
        times: dict[str, list[float]] = {peer.name: [] for peer in able}
        for turn in range(few + 1):
            for peer in able:
                output = place / f"out-{peer.name}.tar"
                output.unlink(missing_ok=True)
                if before:
                    peer.call(*before)
                    peer.call("image", "prune", "-f")  # commits before it have the same layer
                os.sync()  # what the one before left to be written is not the next one's time
                given = [
                    word.format(place, peer.name) if "/" in word else word.format(output)
                    for word in words
                ]
                taken = milliseconds(peer, [*peer.command, *given])
                times[peer.name] += [taken] if turn else []
        rows[title] = {name: statistics.median(taken) for name, taken in times.items()}
    return rows | listings(able, few, place)


def listings(peers: list[Peer], rounds: int, place: Path) -> dict[str, Row]:
    """Two hundred images looked at. They differ in a label alone, which costs nobody a layer."""
    (place / "small").write_text("one file")
    subprocess.run(["tar", "-C", place, "-cf", place / "small.tar", "small"], check=True)
    for peer in peers:
        for number in range(200):
            label = f"LABEL n={number}"
            peer.call("import", "-c", label, f"{place}/small.tar", f"small{number}")
    rows = {}
    for title, words in (("images, 200", ["images"]), ("system df, 200", ["system", "df"])):
        rows[title] = measure({peer: [*peer.command, *words] for peer in peers}, rounds)
    return rows


def make_archive(place: Path) -> Path:
    """12,000 files of 40 KiB, half random and half zeros, in 120 directories."""
    tree, archive = place / "big", place / "big.tar"
    for directory in range(120):
        (tree / f"d{directory}").mkdir(parents=True)
        for number in range(100):
            content = os.urandom(21_000) + bytes(21_000)
            (tree / f"d{directory}" / f"f{number}").write_bytes(content)
    subprocess.run(["tar", "-C", tree, "-cf", archive, "."], check=True)
    return archive


def peak_memory(command: list[str]) -> float:
    """The largest resident size of ``command``, in MiB (getrusage(2))."""
    pid = os.posix_spawn(command[0], command, dict(os.environ))
    _, _, usage = os.wait4(pid, 0)
    return usage.ru_maxrss / 1024


def show(rows: dict[str, Row], names: list[str]) -> None:
    """One table, milliseconds unless the row says otherwise."""
    from rich.console import Console
    from rich.table import Table

    title = "medians" if one_of is statistics.median else "the fastest"
    title += ", ms" if passed else ", ms of processor"
    table = Table("", *names, title=title, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for title, row in rows.items():
        shown = [row.get(name) for name in names]
        table.add_row(
            title, *("" if value is None else f"{value:.{int(value < 100)}f}" for value in shown)
        )
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--only", choices=["start", "many", "import", "images"])
    parser.add_argument(
        "--peers", default="docker,podman,runc,crun", help="which others to measure"
    )
    parser.add_argument("--json", metavar="FILE", help="write the numbers there too")
    parser.add_argument("--against", metavar="DIR", help="measure this checkout and that in DIR")
    parser.add_argument(
        "--fastest", action="store_true", help="show the fastest of all rounds, not the median"
    )
    parser.add_argument(
        "--processor", action="store_true", help="show the processor time of the command itself"
    )
    given = parser.parse_args()
    if given.against and not any(Path(given.against).glob("steps/05-*/main.py")):
        parser.error(f"{given.against}: no checkout of mydocker")
    if given.fastest:
        globals().update(one_of=min)
    if given.processor:
        globals().update(passed=False)
    in_private_place(lambda place: run_benches(place, given))


def ready_peers(place: Path, names: str, stack: ExitStack) -> list[Peer]:
    """We, and of the tools named those that are installed and work here, made ready."""
    wanted = {"mydocker", *names.replace("docker", "dockerd").split(",")}
    peers = [kind(place) for kind in PEERS if kind.name in wanted]
    peers = [peer for peer in peers if peer.available()]
    peers[0].start(place, stack)
    rootfs = next((place / "root" / "overlay2").glob("*/diff"))
    for peer in peers[1:]:
        peer.start(rootfs, stack)
    return [peer for peer in peers if works(peer)]


def checkouts(place: Path, directories: list[Path], stack: ExitStack) -> list[Peer]:
    """So many checkouts of ours."""
    peers = [Checkout(place, directory.resolve()) for directory in directories]
    for peer in peers:
        peer.start(place, stack)
    return [*peers]


def works(peer: Peer) -> bool:
    """True if it runs a container; else tells why it is left out."""
    done = subprocess.run(peer.run(network=False) or [], capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        print(f"left out: {peer.name}: {' '.join(said)}", file=sys.stderr)
    return done.returncode == 0


def run_benches(place: Path, given: argparse.Namespace) -> None:
    """Start all tools, measure, show."""
    with ExitStack() as stack:
        if given.against:
            peers = checkouts(place, [ROOT, Path(given.against)], stack)
        else:
            peers = ready_peers(place, given.peers, stack)
        benches: dict[str, Callable[[], dict[str, Row]]] = {
            "start": lambda: starts(peers, given.rounds),
            "many": lambda: many(peers),
            "import": lambda: imports(peers, given.rounds, place),
            "images": lambda: images(peers, given.rounds, place),
        }
        rows: dict[str, Row] = {}
        for name, bench in benches.items():
            if given.only in (None, name):
                rows |= bench()
        show(rows, [peer.name for peer in peers])
        if given.json:
            Path(given.json).write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()

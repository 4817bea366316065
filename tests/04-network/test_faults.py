"""Kills at every request, and a machine that others change under us."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sandbox.launcher import Launcher, eventually
from sandbox.machine import Sandbox
from sandbox.patience import patience
from sandbox.wires import HOST, Wires

pytestmark = pytest.mark.root

# A container that has nothing but networks: few requests, all of them ours.
DRIVER = """
import sys
steps, root, run, *words = sys.argv[1:]
import os
sys.path[:0] = [f"{steps}/{name}" for name in sorted(os.listdir(steps)) if name[:2].isdigit()]
from mydocker.container.process import Process
from mydocker.container.running import new_identifier, run as start
from mydocker.kernel import syscalls, trace
from mydocker.kernel.errors import Failure
from mydocker.network.attachment import Attachment
from mydocker.network.part import NetworkPart
from mydocker.network.ports import parse
networks, publish = words[0].split(","), parse(words[1]) if words[1] else []
identifier = new_identifier()
attachments = [Attachment(network) for network in networks]
part = NetworkPart(identifier, identifier[:12], root, run, attachments, publish)
try:
    ended = start(
        Process(tuple(words[2:]), {"PATH": os.environ["PATH"]}, input=False), syscalls.CLONE_NEWNET,
        [part], run_directory=run, identifier=identifier,
    )
except Failure as failure:
    print(failure, file=sys.stderr)
    sys.exit(125)
print(trace.count())
sys.exit(ended.exit_code)
"""


def driver(sandbox: Sandbox, networks: str, ports: str, *command: str) -> list[str]:
    python = [sys.executable, "-ESsc", DRIVER]
    return [
        *python,
        str(sandbox.steps),
        str(sandbox.root),
        str(sandbox.run),
        networks,
        ports,
        *command,
    ]


def drive(sandbox: Sandbox, networks: str, fault: str = "") -> subprocess.CompletedProcess[str]:
    argv = driver(sandbox, networks, "8080:80", "true")
    environment = {**os.environ, **({"MYDOCKER_FAULT": fault} if fault else {})}
    return subprocess.run(
        argv, capture_output=True, text=True, env=environment, timeout=patience(60)
    )


def remains(sandbox: Sandbox) -> list[str]:
    """What of networks is left on the machine and in our records."""
    found = [line.split()[0] for line in output("ip", "-br", "link").splitlines()]
    found = [name for name in found if name != "lo"]
    found += output("nft", "list", "tables").splitlines()
    found += [f"forwarding {v}" for v in (4, 6) if forwarding(v)]
    state = sandbox.run / "network"
    # walk(), unlike rglob(), bears a directory that goes just now
    names = (f"{top}/{name}" for top, below, files in os.walk(state) for name in (*below, *files))
    found += [path for path in names if os.path.basename(path) not in ("lock", "dns")]
    # Other tests' monitors had their sockets in a directory that stays.
    found += [str(p) for p in sandbox.run.iterdir() if p != state and p.name != "monitors"]
    return found


def output(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def forwarding(version: int) -> bool:
    path = {4: "ipv4/ip_forward", 6: "ipv6/conf/all/forwarding"}[version]
    return Path(f"/proc/sys/net/{path}").read_text().strip() != "0"


def clean_up(sandbox: Sandbox) -> None:
    from mydocker.container import leftovers
    from mydocker.network import networks
    from mydocker.network.store import Store

    _, failures = leftovers.prune(str(sandbox.run))
    assert failures == []
    networks.prune(Store(str(sandbox.root), str(sandbox.run)))


@pytest.mark.parametrize("made", [False, True], ids=["default", "made"])
@pytest.mark.parametrize("kind", ["kill", "fail"])
def test_a_fault_at_every_request(
    sandbox: Sandbox, mydocker: Launcher, kind: str, made: bool
) -> None:
    def fresh() -> str:
        if made:
            mydocker(4, "network", "create", "--ipv6", "blue")
        return "blue" if made else "bridge"

    whole = drive(sandbox, fresh())
    assert whole.returncode == 0, whole.stderr
    clean_up(sandbox)
    last = int(whole.stdout)
    reached = 0
    for k in range(1, last + 2):
        done = drive(sandbox, fresh(), f"{kind}:{k}")
        reached += done.returncode != 0
        if kind == "kill":
            assert done.returncode in (-9, 0)
        clean_up(sandbox)
        eventually(lambda: not remains(sandbox), 5, f"nothing left after {kind}:{k}: {done.stderr}")
    assert reached >= 5


def test_a_kill_while_a_network_is_made(sandbox: Sandbox, mydocker: Launcher) -> None:
    for k in range(1, 20):
        arguments = ("network", "create", "--ipv6", "blue")
        done = mydocker(4, *arguments, code=None, env={"MYDOCKER_FAULT": f"kill:{k}"})
        mydocker(4, "network", "prune", "-f")
        assert remains(sandbox) == []
        assert "blue" not in mydocker(4, "network", "ls").stdout
        if done.returncode == 0:
            assert k > 5
            return
    pytest.fail("it never got to the end")


def test_two_hundred_at_once(sandbox: Sandbox) -> None:
    started = [
        subprocess.Popen(
            driver(sandbox, "bridge", "", "sleep", "600"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(200)
    ]
    from mydocker.network.store import Store

    store = Store(str(sandbox.root), str(sandbox.run))

    def all_there() -> list[str] | None:
        for one in started:
            if one.poll() is not None:
                assert one.stderr is not None
                pytest.fail(f"one did not start: {one.stderr.read()}")
        network = store.named("bridge")
        endpoints = store.endpoints(network) if network else []
        return [e.address for e in endpoints] if sum(e.pid > 0 for e in endpoints) == 200 else None

    try:
        found = eventually(all_there, 180, "200 containers")
        assert len(set(found)) == 200
        silent = set(found)
        for _ in range(50):  # each gets some time to configure its end
            pings = {
                a: subprocess.Popen(["busybox", "ping", "-c1", "-W2", a], stdout=subprocess.DEVNULL)
                for a in list(silent)[:50]
            }
            silent -= {a for a, ping in pings.items() if ping.wait() == 0}
            if not silent:
                break
        assert not silent
    finally:
        for one in started:
            one.terminate()
        for one in started:
            one.wait()
            if one.stderr is not None:
                one.stderr.close()
    eventually(lambda: not remains(sandbox), 30, f"nothing left: {remains(sandbox)}")


def test_a_bridge_deleted_under_containers_is_made_again(wires: Wires) -> None:
    _, web = wires.container("-p", "8080:80")
    token = wires.serve(web, 80)
    wires.ip(HOST, "link", "delete", "mydocker0")
    assert wires.ask(HOST, "127.0.0.1", 8080) == ""
    _, next_one = wires.container()
    assert wires.ask(next_one, wires.address(web), 80) == token
    assert wires.ask(HOST, "127.0.0.1", 8080) == token


def test_rules_that_somebody_flushed_are_made_again(wires: Wires, network: Launcher) -> None:
    network(4, "network", "create", "blue")
    _, web = wires.container("-p", "8080:80")
    token = wires.serve(web, 80)
    wires.do(HOST, "nft", "flush", "ruleset")
    assert wires.ask(HOST, "127.0.0.1", 8080) == ""
    _, stranger = wires.container("--net", "blue")
    assert wires.ask(HOST, "127.0.0.1", 8080) == token
    assert wires.ask(stranger, wires.address(web), 80) == ""


def test_a_link_renamed_by_somebody_goes_with_its_container(wires: Wires) -> None:
    container = wires.container()
    (link,) = [n for n in output("ip", "-br", "link").split() if n.startswith("veth")]
    wires.ip(HOST, "link", "set", link.partition("@")[0], "down")
    wires.ip(HOST, "link", "set", link.partition("@")[0], "name", "mine")
    wires.end(*container)
    eventually(lambda: "mine" not in output("ip", "-br", "link"))


def test_a_link_deleted_by_somebody(wires: Wires) -> None:
    container = wires.container("-p", "8080:80")
    (link,) = [n for n in output("ip", "-br", "link").split() if n.startswith("veth")]
    wires.ip(HOST, "link", "delete", link.partition("@")[0])
    wires.end(*container)
    assert container[0].returncode == 137


@contextmanager
def mounted(*argv: str) -> Iterator[None]:
    """Something mounted for a while, in the sandbox."""
    subprocess.run(["mount", *argv], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", argv[-1]], check=True)


@pytest.mark.parametrize(("program", "package"), [("nft", "nftables"), ("ip", "iproute2")])
def test_a_missing_program(mydocker: Launcher, program: str, package: str) -> None:
    with mounted("--bind", "/dev/null", os.path.realpath(f"/usr/sbin/{program}")):
        if program == "ip" and os.path.realpath("/usr/sbin/ip") != os.path.realpath("/bin/ip"):
            pytest.skip("ip is there twice")
        refused = mydocker(4, "run", "busybox", "true", code=125)
    assert f"apt-get install {package}" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_forwarding_that_is_locked(mydocker: Launcher, network: Launcher) -> None:
    with mounted("--bind", "-o", "ro", "/proc/sys", "/proc/sys"):
        refused = mydocker(4, "run", "busybox", "true", code=125)
        assert "locked" in refused.stderr
        assert "--internal" in refused.stderr
        network(4, "network", "create", "--internal", "cell")
        network(4, "run", "--net", "cell", "busybox", "true")


def test_a_foreign_bridge_is_left_alone(wires: Wires, mydocker: Launcher) -> None:
    wires.ip(HOST, "link", "add", "mydocker0", "type", "bridge")
    wires._links.append("mydocker0")
    refused = mydocker(4, "run", "busybox", "true", code=125)
    assert "is there already" in refused.stderr
    assert "bridge.name" not in refused.stderr, "nobody makes the network bridge, or names it"
    assert "network create NAME" in refused.stderr
    assert "mydocker0" in wires.ip(HOST, "link")


def test_rules_of_others_are_never_touched(wires: Wires) -> None:
    foreign = "table ip docker {\nchain x {\ntype filter hook forward priority 0\naccept\n}\n}\n"
    subprocess.run(["nft", "-f", "-"], input=foreign, text=True, check=True)
    try:
        before = output("nft", "list", "table", "ip", "docker")
        container = wires.container("-p", "8080:80")
        assert output("nft", "list", "table", "ip", "docker") == before
        wires.end(*container)
        eventually(lambda: "inet mydocker" not in output("nft", "list", "tables"))
        assert output("nft", "list", "table", "ip", "docker") == before
    finally:
        subprocess.run(["nft", "delete", "table", "ip", "docker"], check=True)


def test_a_port_that_a_killed_run_left_is_explained(wires: Wires, network: Launcher) -> None:
    started, _ = wires.container("--name", "dead", "-p", "8080:80")
    wires.container()
    started.kill()  # the container dies with it; its records and its port are left
    started.wait()
    refused = network(4, "run", "-p", "8080:80", "busybox", "true", code=125)
    assert "taken by container dead" in refused.stderr
    assert "system prune" in refused.stderr

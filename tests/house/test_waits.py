"""Whatever waits without end, waits so that no signal is lost: by ``kernel.signals``."""

import ast
from pathlib import Path

from house.programs import ROOT
from house.test_layers import MODULES

# Where a call of these names is right, and why
ALLOWED = {
    "kernel/signals.py": "the one place",
    # processes of their own, in which every signal has its default action: no handler has to run
    "container/init.py": "PID 1 of a container waits for signals themselves",
    "engine/monitor/supervisor.py": "the monitor",
    "engine/monitor/probes.py": "the same: it has killed the process that it waits for",
    "engine/life/probing.py": "the prober, which ends when its monitor does",
    "network/dns_server.py": "the server of names",
    "network/small_dns.py": "a program of the ladder",
    "labs/workplace.py": "the container's process, before it is the command, and those around it",
    # waits with an end that is near
    "kernel/flows.py": "netlink(7): the kernel has answered when send(2) returns",
    "network/host.py": "the same",
    "network/firewall.py": "the same",
    "network/dns.py": "some seconds",
    "network/climbing.py": "asks whether a program has ended",
    "engine/looking/logs.py": "a moment",
    "cgroups/making.py": "a moment: who has it alone looks for empty groups, and no longer",
    "labs/judging.py": "a moment",
    # after a wait
    "container/channel.py": "its callers wait before they receive",
    "cli/attaching.py": "when poll has said so",
    "engine/connection.py": "the same",
}
WAITS = {"waitpid", "waitid", "wait3", "wait4", "select", "poll", "recv", "recvmsg", "recv_fds"}
WAITS |= {"flock", "lockf", "sigwait", "accept", "epoll"}
PATHS = {name.removeprefix("mydocker.").replace(".", "/") + ".py": p for name, p in MODULES.items()}


def waits(path: Path) -> list[str]:
    """The calls in a module that may wait without end."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            text = ast.unparse(node)
            if name in WAITS and "LOCK_NB" not in text and "WNOHANG" not in text:
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {text}")
    return found


def test_the_check_sees_a_wait() -> None:
    assert waits(PATHS["engine/monitor/supervisor.py"])


def test_no_module_waits_by_itself() -> None:
    wrong = []
    for name, path in PATHS.items():
        if name in ALLOWED:
            continue
        lines = path.read_text().splitlines()
        for found in waits(path):
            before = lines[int(found.split(":")[1]) - 2]
            wrong += [] if "signals.ready(" in before else [found]
    assert not wrong, "\n".join(wrong)


def test_what_is_allowed_is_there() -> None:
    assert not ALLOWED.keys() - PATHS.keys()

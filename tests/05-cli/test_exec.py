"""exec: one more process in a container, where the first one is and with no more powers."""

import os
import re
from pathlib import Path

import psutil
import pytest
from sandbox.containers import Containers
from sandbox.launcher import eventually

pytestmark = pytest.mark.root
SLEEP = ("busybox", "sleep", "1000")


def test_in_every_namespace_and_group(docker: Containers) -> None:
    docker.run("--name", "one", "-m", "80M", *SLEEP)
    first = docker.pid("one")
    started = docker.start("exec", "-i", "one", "cat")
    pid = docker.launcher.inside(started, "cat")
    for kind in ("cgroup", "ipc", "mnt", "net", "pid", "uts"):
        assert os.readlink(f"/proc/{pid}/ns/{kind}") == os.readlink(f"/proc/{first}/ns/{kind}")
    groups = [Path(f"/proc/{one}/cgroup").read_text() for one in (pid, first)]
    assert groups[0] == groups[1]
    assert os.readlink(f"/proc/{pid}/root") == os.readlink(f"/proc/{first}/root")


def test_no_more_powers_than_the_first_process(docker: Containers) -> None:
    docker.run(
        "--name", "one", "--cap-drop", "CHOWN", "--security-opt", "no-new-privileges", *SLEEP
    )
    told = docker("exec", "one", "cat", "/proc/self/status").stdout
    own = Path(f"/proc/{docker.pid('one')}/status").read_text()
    for name in ("CapPrm", "CapEff", "CapBnd", "NoNewPrivs", "Seccomp"):
        lines = [re.search(f"^{name}:.*$", text, re.MULTILINE) for text in (told, own)]
        assert lines[0] and lines[1] and lines[0][0] == lines[1][0], name
    docker("exec", "one", "chown", "1", "/tmp", code=1)


def test_no_descriptor_of_ours_comes_along(docker: Containers) -> None:
    """As CVE-2024-21626: a directory of the host left open was a way out."""
    docker.run("--name", "one", *SLEEP)
    with open(os.devnull) as leaked:
        listed = docker("exec", "one", "ls", "/proc/self/fd", pass_fds=(leaked.fileno(),)).stdout
    assert listed.split() == ["0", "1", "2", "3"]  # the last is ls's own
    assert docker("exec", "one", "readlink", "/proc/1/cwd").stdout == "/\n"


def test_its_streams_and_exit_code(docker: Containers) -> None:
    docker.run("--name", "one", "-e", "A=1", "-w", "/etc", *SLEEP)
    script = "pwd; echo $A $B; cat; echo bad >&2; exit 7"
    done = docker("exec", "-i", "-e", "B=2", "one", "sh", "-c", script, input="in\n", code=7)
    assert (done.stdout, done.stderr) == ("/etc\n1 2\nin\n", "bad\n")
    done = docker("exec", "-w", "/tmp", "-u", "33:44", "one", "sh", "-c", "pwd; id -u; id -g")
    assert done.stdout == "/tmp\n33\n44\n"
    assert "executable file not found" in docker("exec", "one", "nosuch", code=127).stderr
    docker("exec", "one", "/etc/passwd", code=126)


def test_detached(docker: Containers) -> None:
    docker.run("--name", "one", *SLEEP)
    docker("exec", "-d", "one", "sh", "-c", "echo there > /file; exec sleep 999")
    eventually(lambda: docker("exec", "one", "cat", "/file", code=None).stdout == "there\n")
    assert "sleep 999" in docker("top", "one").stdout
    assert "executable file not found" in docker("exec", "-d", "one", "nosuch", code=127).stderr


def test_ends_with_the_container(docker: Containers) -> None:
    docker.run("--name", "one", *SLEEP)
    started = docker.start("exec", "one", "sleep", "998")
    docker.launcher.inside(started, "sleep")
    docker("kill", "one")
    assert started.wait(20) == 137


def test_what_has_no_process_to_join(docker: Containers) -> None:
    identifier = docker.run("--name", "one", "busybox", "true")
    docker("wait", "one")
    assert f"Container {identifier} is not running" in docker("exec", "one", "true", code=1).stderr
    assert docker("exec", "no", "true", code=1).stderr == "mydocker: No such container: no\n"


def test_top(docker: Containers) -> None:
    docker.run("--name", "one", *SLEEP)
    docker("exec", "-d", "one", "sleep", "997")
    rows = docker("top", "one", "-o", "pid,args").stdout.splitlines()
    assert rows[0].split() == ["PID", "COMMAND"]
    assert [row.split(None, 1)[1] for row in rows[1:]] == ["sleep 1000", "sleep 997"]
    assert psutil.Process(int(rows[1].split()[0])).name() == "sleep"
    assert "Couldn't find PID field" in docker("top", "one", "-o", "args", code=1).stderr


ODD = {
    "directory": "mkdir {path}",
    "fifo": "mkfifo {path}",
    "memory": "ln -s /proc/self/mem {path}",
    "device": "ln -s /dev/zero {path}",
    "descriptor": "ln -s /proc/self/fd/3 {path}",
    "circle": "ln -s {path} {path}",
    "digits": "printf 'big:x:%05000d:%05000d:::\\nroot:x:0:0:::\\n' 9 9 > {path}",
    "binary": "head -c 100000 /dev/urandom > {path}",
}


@pytest.mark.parametrize("kind", ODD)
def test_whatever_is_in_the_place_of_passwd_and_group(docker: Containers, kind: str) -> None:
    """One enters all the same, and a name that is not there is one clear line."""
    name = docker.run("busybox", "sleep", "1000")
    for path in ("/etc/passwd", "/etc/group"):
        docker("exec", name, "sh", "-c", f"rm -rf {path}; " + ODD[kind].format(path=path))
    who = ("stat", "-c", "%u:%g", "/proc/self/")  # and not id(1), which reads the files itself
    assert docker("exec", name, *who).stdout == "0:0\n"
    assert docker("exec", "-u", "1234:5678", name, *who).stdout == "1234:5678\n"
    for options in (["-u", "nobody-here"], ["-u", "0:nobody-here"]):
        failed = docker("exec", *options, name, "true", code=125).stderr
        assert "nobody-here" in failed and "unable to find" in failed and failed.count("\n") == 1

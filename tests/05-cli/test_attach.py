"""attach, -it and detach keys, through real terminals."""

import os
from collections.abc import Callable, Iterator

import pexpect
import pytest
from sandbox.containers import Containers
from sandbox.launcher import eventually
from sandbox.patience import patience

pytestmark = pytest.mark.root
Spawn = Callable[..., "pexpect.spawn[str]"]


@pytest.fixture
def terminal(docker: Containers) -> Iterator[Spawn]:
    """Calls mydocker in a terminal of its own."""
    opened: list[pexpect.spawn[str]] = []

    def spawn(*arguments: str) -> "pexpect.spawn[str]":
        program, *rest = docker.launcher.argv(5, *arguments)
        environment = os.environ | {"TERM": "dumb"}
        size = (30, 100)
        child = pexpect.spawn(
            program, rest, encoding="utf-8", timeout=patience(20), env=environment, dimensions=size
        )
        opened.append(child)
        return child

    yield spawn
    for child in opened:
        child.close(force=True)


def ended(child: "pexpect.spawn[str]") -> int | None:
    child.expect(pexpect.EOF)
    child.wait()
    return child.exitstatus


def test_a_shell(terminal: Spawn, docker: Containers) -> None:
    child = terminal("run", "--rm", "-it", "--net", "none", "busybox", "sh")
    child.expect("# ")
    child.sendline("tty; stty size; sleep 100")
    child.expect("/dev/pts/0\r\n30 100\r\n")
    child.send("\x03")  # Ctrl-C ends the sleep and not the shell
    child.expect("# ")
    child.setwinsize(40, 120)
    child.sendline("sleep 0.3; stty size")
    child.expect("40 120\r\n")
    child.sendline("exit 5")
    assert ended(child) == 5
    assert docker("ps", "-aq").stdout == ""


def test_leave_and_come_back(terminal: Spawn, docker: Containers) -> None:
    child = terminal("run", "-it", "--name", "one", "--net", "none", "busybox", "sh")
    child.expect("# ")
    child.sendline("mark=here")
    child.expect("# ")
    child.send("\x10\x11")
    assert ended(child) == 0
    assert docker.get("one", "{{.State.Status}}") == "running"
    child = terminal("attach", "one")
    child.sendline("echo again $mark")
    child.expect("again here\r\n")
    child.sendline("exit 3")
    assert ended(child) == 3


def test_other_detach_keys_and_keys_that_only_look_so(terminal: Spawn, docker: Containers) -> None:
    docker.run("-it", "--name", "one", "busybox", "sh")
    child = terminal("attach", "--detach-keys", "ctrl-a,x", "one")
    child.sendline("echo \x10a")
    child.expect("# ")
    child.send("\x01")
    child.send("x")
    assert ended(child) == 0
    done = docker("attach", "--detach-keys", "ctrl-", "one", code=1)
    assert "invalid detach keys" in done.stderr


def test_several_readers(terminal: Spawn, docker: Containers) -> None:
    docker.run("-it", "--name", "one", "busybox", "sh")
    one, two = terminal("attach", "one"), terminal("attach", "one")
    eventually(lambda: len(os.listdir(f"/proc/{_monitor(docker)}/fd")) >= 6)
    one.sendline("echo for $((20 + 2))")
    for child in (one, two):
        child.expect("for 22\r\n")
    two.sendline("exit 2")
    assert [ended(one), ended(two)] == [2, 2]


def _monitor(docker: Containers) -> int:
    import psutil

    return psutil.Process(docker.pid("one")).ppid()


def test_attach_without_a_terminal(docker: Containers) -> None:
    script = "while read line; do echo got $line; done; exit 8"
    docker.run("-i", "--name", "one", "busybox", "sh", "-c", script)
    done = docker("attach", "--no-stdin", "nosuch", code=1)
    assert "No such container" in done.stderr
    started = docker.start("attach", "one")
    assert started.stdin and started.stdout
    started.stdin.write("a\n")
    started.stdin.flush()
    assert started.stdout.readline() == "got a\n"
    started.stdin.close()
    assert started.wait(20) == 8


def test_what_cannot_be_attached_to(docker: Containers) -> None:
    docker.run("--name", "one", "busybox", "true")
    docker("wait", "one")
    assert "You cannot attach to a stopped container" in docker("attach", "one", code=1).stderr
    docker.run("--name", "two", "busybox", "sleep", "1000")
    docker("pause", "two")
    assert "You cannot attach to a paused container" in docker("attach", "two", code=1).stderr
    done = docker("run", "-it", "busybox", "sh", code=1)
    assert "the input device is not a TTY" in done.stderr


def test_start_with_attach_hands_input_on(docker: Containers) -> None:
    docker("create", "-i", "--name", "one", "--net", "none", "busybox", "cat")
    started = docker.start("start", "-a", "-i", "one")
    assert started.stdin and started.stdout
    started.stdin.write("through\n")
    started.stdin.flush()
    assert started.stdout.readline() == "through\n"


def test_exec_in_a_terminal(terminal: Spawn, docker: Containers) -> None:
    docker.run("--name", "one", "busybox", "sleep", "1000")
    child = terminal("exec", "-it", "one", "sh")
    child.expect("# ")
    child.sendline("tty; stty size; exit 6")
    child.expect("/dev/pts/0\r\n30 100\r\n")
    assert ended(child) == 6


def test_leave_an_exec(terminal: Spawn, docker: Containers) -> None:
    docker.run("--name", "one", "busybox", "sleep", "1000")
    child = terminal("exec", "-it", "--detach-keys", "ctrl-x,y", "one", "sh")
    child.expect("# ")
    child.sendline("yes | head -n 200000; echo $? > /done; exec sleep 999")
    child.send("\x18y")
    child.expect("read escape sequence")
    assert ended(child) == 0
    # it goes on: nobody reads its terminal, and yet it does not wait for that
    eventually(lambda: docker("exec", "one", "cat", "/done", code=None).stdout == "0\n")
    assert "sleep 999" in docker("exec", "one", "ps").stdout


def test_an_exec_whose_client_is_killed_goes_on(terminal: Spawn, docker: Containers) -> None:
    docker.run("--name", "one", "busybox", "sleep", "1000")
    child = terminal("exec", "-it", "one", "sh")
    child.expect("# ")
    child.sendline("echo ready; exec sleep 998")
    child.expect("ready")
    child.kill(9)
    child.wait()
    assert "sleep 998" in docker("exec", "one", "ps").stdout


def test_an_exec_that_cannot_start(terminal: Spawn, docker: Containers) -> None:
    docker.run("--name", "one", "busybox", "sleep", "1000")
    child = terminal("exec", "-it", "one", "no-such-thing")
    child.expect("no-such-thing")
    assert ended(child) == 127

"""What a caller hands on, and what it gets: terminals, descriptors, files with pids."""

import array
import os
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from sandbox.bundles import Runtime
from sandbox.launcher import eventually

pytestmark = pytest.mark.root
Told = dict[str, Any]


class Console:
    """A listener as a shim's: it gets the master of the container's terminal."""

    def __init__(self, path: Path) -> None:
        self.path, self.master = path, -1
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._take)
        self._thread.start()

    def _take(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            data, beside, _, _ = connection.recvmsg(100, socket.CMSG_LEN(4))
            assert data
            self.master = array.array("i", beside[0][2])[0]

    def read_until(self, text: str) -> str:
        self._thread.join(30)
        seen = b""

        def found() -> bool:
            nonlocal seen
            seen += os.read(self.master, 1000)
            return text.encode() in seen

        eventually(found, what=f"{text!r} on the terminal")
        return seen.decode()

    def close(self) -> None:
        self._thread.join(30)
        self._listener.close()
        if self.master >= 0:
            os.close(self.master)


def with_terminal(told: Told) -> None:
    told["process"]["terminal"] = True


def test_the_terminal_goes_to_who_listens(runtime: Runtime, tmp_path: Path) -> None:
    console = Console(tmp_path / "console")
    runtime.bundle.write("sh", "-c", "tty; echo typed: $(cat)", change=with_terminal)
    runtime("create", "--console-socket", str(console.path), "box")
    runtime("start", "box")
    console.read_until("/dev/pts/0")
    os.write(console.master, b"word\n\x04")
    console.read_until("typed: word")
    console.close()
    runtime.comes_to("stopped")


def test_exec_has_a_terminal_of_its_own(runtime: Runtime, tmp_path: Path) -> None:
    runtime.create("sleep", "1000")
    runtime("start", "box")
    console, file = Console(tmp_path / "console"), tmp_path / "pid"
    words = ("exec", "--detach", "--tty", "--console-socket", str(console.path))
    runtime(*words, "--pid-file", str(file), "box", "sh", "-c", "tty; exec sleep 1000")
    console.read_until("/dev/pts/0")
    name = Path(f"/proc/{file.read_text()}/comm")
    eventually(lambda: name.read_text() == "sleep\n", what="the command")
    console.close()


def test_a_terminal_for_nobody_is_refused(runtime: Runtime) -> None:
    runtime.bundle.write("sh", change=with_terminal)
    assert "cannot allocate tty" in runtime("create", "box", code=1).stderr
    runtime.bundle.write("sh")
    assert "cannot use console socket" in runtime(
        "create", "--console-socket", "/nowhere", "box", code=1
    ).stderr  # fmt: skip
    runtime.bundle.write("sh", change=with_terminal)
    done = runtime("create", "--console-socket", "/nowhere", "box", code=1)
    assert "dial unix /nowhere" in done.stderr
    assert os.listdir(runtime.root) == []


def test_descriptors_that_are_handed_on(runtime: Runtime, tmp_path: Path) -> None:
    """``--preserve-fds 1``: descriptor 3 and no other; and nothing of ours."""
    (tmp_path / "given").write_text("by descriptor\n")
    runtime.bundle.write("sh", "-c", "cat <&3; ls /proc/self/fd; readlink /proc/self/fd/4; exit 0")
    fds = [os.open(tmp_path / "given", os.O_RDONLY), os.open("/", os.O_RDONLY)]
    words = " ".join(runtime.argv("run", "--preserve-fds", "1", "box"))
    done = subprocess.run(
        ["bash", "-c", f"exec 3<&{fds[0]} 4<&{fds[1]} {fds[0]}<&- {fds[1]}<&-; exec {words}"],
        cwd=runtime.bundle.directory, pass_fds=fds, capture_output=True, text=True, check=False,
        env=runtime.launcher.environment(), stdin=subprocess.DEVNULL,
    )  # fmt: skip
    for fd in fds:
        os.close(fd)
    assert done.returncode == 0, done.stderr
    first, *numbers = done.stdout.splitlines()
    assert first == "by descriptor"
    assert {"0", "1", "2", "3"} <= set(numbers) and "/" not in numbers


def test_nothing_of_ours_is_open_in_the_command(runtime: Runtime) -> None:
    """CVE-2024-21626: a directory of the host would be a way out. Nor while it waits."""
    pid = runtime.create("sleep", "1000")

    def opened() -> set[str]:
        return {os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")}

    said = str(runtime.bundle.directory / "said")
    waiting = {one for one in opened() if not one.startswith("socket:")} - {"/dev/null", said}
    assert [one.endswith("/box/start") for one in waiting] == [True], "while it waits"
    runtime("start", "box")
    eventually(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n", what="the command")
    assert opened() == {"/dev/null", said}


def test_exec_as_docker_calls_it(runtime: Runtime, tmp_path: Path) -> None:
    """``exec --process FILE --detach --pid-file FILE ID``."""
    runtime.create("sleep", "1000")
    runtime("start", "box")
    process = tmp_path / "process.json"
    process.write_text(
        '{"user": {"uid": 7, "gid": 8}, "args": ["sh", "-c", "id > /tmp/who; exec sleep 1000"], '
        '"env": ["PATH=/bin"], "cwd": "/tmp"}'
    )
    (runtime.bundle.rootfs / "tmp").chmod(0o777)
    file = tmp_path / "pid"
    words = ("exec", "--process", str(process), "--detach", "--pid-file", str(file), "box")
    assert runtime.start(*words, stdout=None, stderr=None).wait(60) == 0
    pid = int(file.read_text())
    who = runtime.bundle.rootfs / "tmp/who"
    eventually(lambda: who.exists() and "uid=7 gid=8" in who.read_text(), what="the command")
    assert os.readlink(f"/proc/{pid}/cwd") == "/tmp"
    shared = Path(f"/proc/{runtime.state()['pid']}/ns/net")
    assert os.readlink(f"/proc/{pid}/ns/net") == os.readlink(shared)


def test_exec_gives_the_exit_code_and_its_options_hold(runtime: Runtime) -> None:
    runtime.create("sleep", "1000")
    runtime("start", "box")
    assert runtime("exec", "box", "sh", "-c", "exit 9", code=9).stderr == ""
    words = ("exec", "--cwd", "/tmp", "-e", "A=b", "-u", "5:6", "-g", "7", "box")
    done = runtime(*words, "sh", "-c", "pwd; echo $A; id")
    assert done.stdout == "/tmp\nb\nuid=5 gid=6 groups=7\n"
    done = runtime("exec", "box", "nope", code=255)
    assert 'exec: \\"nope\\": executable file not found in $PATH"' in done.stderr
    done = runtime("exec", "nobody", "true", code=255)
    assert "container does not exist" in done.stderr
    done = runtime("exec", "box", code=255)
    assert "process args cannot be empty" in done.stderr

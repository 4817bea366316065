"""Standard streams and other descriptors: from pipes, closed, full, and none that leaks."""

import os
import secrets
import subprocess
from pathlib import Path

import pytest
from sandbox.launcher import Launcher, eventually
from sandbox.patience import patience

pytestmark = pytest.mark.root


def test_input_from_a_pipe(mydocker: Launcher) -> None:
    text = secrets.token_hex(2_000_000)
    assert mydocker(1, "run", "cat", input=text).stdout == text
    assert mydocker(1, "run", "--init", "cat", input=text).stdout == text


def test_much_output(mydocker: Launcher) -> None:
    done = mydocker(1, "run", "head", "-c", "60000000", "/dev/zero")
    assert len(done.stdout) == 60000000


def test_errors_go_to_standard_error(mydocker: Launcher) -> None:
    done = mydocker(1, "run", "sh", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


@pytest.mark.parametrize("init", [[], ["--init"]], ids=["", "init"])
def test_no_other_descriptor_gets_in(mydocker: Launcher, init: list[str]) -> None:
    with open("/etc/passwd") as secret:
        directory = os.open("/", os.O_RDONLY)
        os.set_inheritable(directory, True)
        try:
            pass_fds = (secret.fileno(), directory)
            listing = ["run", *init, "ls", "/proc/self/fd"]
            inside = mydocker(1, *listing, pass_fds=pass_fds).stdout.split()
        finally:
            os.close(directory)
    assert inside == ["0", "1", "2", "3"], "ls itself has the directory open as 3"


@pytest.mark.parametrize("init", [[], ["--init"]], ids=["", "init"])
def test_nor_do_the_lowest(mydocker: Launcher, init: list[str]) -> None:
    """As a shell hands them on that has just opened them: 3, 4 and so on, without a gap."""
    opened = " ".join(f"{number}</etc" for number in range(3, 10))
    run = " ".join(mydocker.argv(1, "run", *init, "ls", "/proc/self/fd"))
    done = subprocess.run(["sh", "-c", f"exec {run} {opened}"], capture_output=True, text=True,
                          env=mydocker.environment())  # fmt: skip
    assert done.stdout.split() == ["0", "1", "2", "3"], done.stderr


def test_nor_do_they_stay_open_in_init(mydocker: Launcher) -> None:
    directory = os.open("/", os.O_RDONLY)
    os.set_inheritable(directory, True)
    try:
        started = mydocker.start(1, "run", "--init", "sleep", "60", pass_fds=(directory,))
    finally:
        os.close(directory)
    sleep = mydocker.inside(started, "sleep")
    init = int(Path(f"/proc/{sleep}/stat").read_text().rpartition(")")[2].split()[1])
    eventually(lambda: sorted(os.listdir(f"/proc/{init}/fd")) == ["0", "1", "2"])


# ---------------------------------------------------------------- closed streams


def shell(
    mydocker: Launcher, redirections: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run ``main.py`` as a shell does with these redirections."""
    line = f'"$@" {redirections}'
    command = ["sh", "-c", line, "sh", *mydocker.argv(1, *arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=patience(60)
    )


@pytest.mark.parametrize("init", [[], ["--init"]], ids=["", "init"])
def test_closed_input_is_empty(mydocker: Launcher, init: list[str]) -> None:
    done = shell(mydocker, "<&-", "run", *init, "sh", "-c", "cat; readlink /proc/self/fd/0")
    assert (done.returncode, done.stdout, done.stderr) == (0, "/dev/null\n", "")


@pytest.mark.parametrize("closed", ["<&- >&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("init", [[], ["--init"]], ids=["", "init"])
def test_closed_output_is_lost_and_no_more(
    mydocker: Launcher, closed: str, init: list[str]
) -> None:
    done = shell(mydocker, closed, "run", *init, "sh", "-c", "echo out && echo err >&2; exit 47")
    assert done.returncode == 47
    assert done.stdout == ("out\n" if ">&-" not in closed.replace("2>&-", "") else "")
    assert done.stderr == ("err\n" if "2>&-" not in closed else "")


def test_an_error_without_a_place_to_tell_it(mydocker: Launcher) -> None:
    for closed in ("2>&-", "<&- >&- 2>&-", "2>/dev/full"):
        done = shell(mydocker, closed, "run", "nosuch")
        assert (done.returncode, done.stdout) == (127, "")


def test_a_full_disk_is_told(mydocker: Launcher) -> None:
    done = shell(mydocker, ">/dev/full", "list")
    assert done.returncode == 125
    assert done.stderr == "mydocker: write to standard output, or a file: No space left on device\n"


def test_a_reader_who_goes_away(mydocker: Launcher) -> None:
    done = shell(mydocker, "| head -c 5", "run", "--init", "yes")
    assert (done.stdout, done.stderr) == ("y\ny\ny", "")


# ---------------------------------------------------------------- sessions


def test_a_session_of_its_own(mydocker: Launcher) -> None:
    started = mydocker.start(1, "run", "sleep", "60")
    pid = mydocker.inside(started, "sleep")
    assert os.getsid(pid) == pid
    assert os.getpgid(pid) == pid


def test_without_a_controlling_terminal(mydocker: Launcher) -> None:
    script = "echo 2>/dev/null >/dev/tty || echo none"
    done = mydocker(1, "run", "sh", "-c", script, start_new_session=True)
    assert done.stdout == "none\n"


def test_a_terminal_is_refused_where_input_is_none(mydocker: Launcher) -> None:
    refused = mydocker(1, "run", "-t", "sh", code=1)
    assert "not a TTY" in refused.stderr

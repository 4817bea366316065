"""Which of root's powers a container has: read from its /proc/self/status, and tried out."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox.inside import PYTHON, need_image, python, status
from sandbox.launcher import Launcher
from sandbox.machine import Sandbox

pytestmark = pytest.mark.root


@pytest.fixture(autouse=True)
def image(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("root"):
        need_image(request.getfixturevalue("mydocker"))


# capabilities(7), written out: what must be so is not for the program to say
DOCKERS = 0x00000000A80425FB
NET_RAW, SYS_ADMIN, CHOWN = 1 << 13, 1 << 21, 1 << 0


def ours() -> int:
    """What this machine lets us have: it may be a container already."""
    return int(status(Path("/proc/self/status").read_text())["CapPrm"], 16)


def sets(mydocker: Launcher, *options: str) -> dict[str, int]:
    """The five sets of the command of a container with ``options``."""
    done = mydocker(
        5, "run", "--rm", "--net", "none", *options, "busybox", "cat", "/proc/self/status"
    )
    told = status(done.stdout)
    return {name: int(told[f"Cap{name}"], 16) for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")}


def test_dockers_fourteen(mydocker: Launcher) -> None:
    wanted = DOCKERS & ours()
    assert sets(mydocker) == {"Inh": 0, "Prm": wanted, "Eff": wanted, "Bnd": wanted, "Amb": 0}


def test_another_user_has_none_but_the_ceiling_is_the_same(mydocker: Launcher) -> None:
    found = sets(mydocker, "-u", "1000:1000")
    assert found == {"Inh": 0, "Prm": 0, "Eff": 0, "Bnd": DOCKERS & ours(), "Amb": 0}


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--cap-add", "SYS_ADMIN"], DOCKERS | SYS_ADMIN),
        (["--cap-add", "cap_sys_admin"], DOCKERS | SYS_ADMIN),
        (["--cap-drop", "NET_RAW"], DOCKERS & ~NET_RAW),
        (["--cap-drop", "all"], 0),
        (["--cap-drop", "ALL", "--cap-add", "CHOWN"], CHOWN),
        (["--cap-add", "ALL", "--cap-drop", "NET_RAW"], ((1 << 41) - 1) & ~NET_RAW),
        (["--cap-add", "NET_RAW", "--cap-drop", "NET_RAW"], DOCKERS),
        (["--privileged"], (1 << 41) - 1),
        (["--init"], DOCKERS),
        (["--userns", "private"], DOCKERS),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_added_and_dropped(mydocker: Launcher, options: list[str], wanted: int) -> None:
    if "--userns" not in options:  # in a user namespace of its own root has all, whatever we have
        wanted &= ours()
    found = sets(mydocker, *options)
    masks = f"capsh --decode={found['Bnd']:x} is what it has, {wanted:x} what was asked for"
    assert found == {"Inh": 0, "Prm": wanted, "Eff": wanted, "Bnd": wanted, "Amb": 0}, masks


@pytest.mark.parametrize("option", ["--cap-add", "--cap-drop"])
def test_an_unknown_name_is_one_clear_line(mydocker: Launcher, option: str) -> None:
    failed = mydocker(5, "run", "--rm", option, "NET_FUN", "busybox", "true", code=125)
    assert f"{option} NET_FUN: unknown capability" in failed.stderr
    assert len(failed.stderr.splitlines()) == 1


@pytest.mark.parametrize("options", [[], ["-u", "7"]], ids=" ".join)
def test_our_reaper_has_no_more_than_the_command(mydocker: Launcher, options: list[str]) -> None:
    """PID 1 of --init does not exec, and so nothing but us takes its powers away."""
    command = ["busybox", "cat", "/proc/1/status"]
    told = status(mydocker(5, "run", "--rm", "--net", "none", "--init", *options, *command).stdout)
    wanted = 0 if options else DOCKERS & ours()
    for name in ("CapPrm", "CapEff"):
        assert int(told[name], 16) == wanted
    assert int(told["CapBnd"], 16) == DOCKERS & ours()
    assert told["Seccomp"] == "2"


SET_USER_ID = """
cp /usr/bin/cat /tmp/cat && chmod 4755 /tmp/cat
exec busybox su -s /bin/sh nobody -c '/tmp/cat /proc/self/status'
"""


@pytest.fixture
def as_nobody(mydocker: Launcher) -> Iterator[list[str]]:
    """A command that runs a set-user-ID program of root's, as somebody else."""
    user = "echo 'nobody:x:65534:65534::/:/bin/sh' >/etc/passwd; " + SET_USER_ID
    yield [*PYTHON, "busybox", "sh", "-c", user]  # busybox itself gives a set user id up


def test_a_set_user_id_program_gets_no_more_than_the_ceiling(
    mydocker: Launcher, as_nobody: list[str]
) -> None:
    done = mydocker(5, "run", "--rm", "--net", "none", *as_nobody)
    told = status(done.stdout)
    assert told["Uid"].split() == ["65534", "0", "0", "0"], "it should have become root"
    assert int(told["CapEff"], 16) == DOCKERS & ours()


def test_with_no_new_privileges_it_gets_nothing(mydocker: Launcher, as_nobody: list[str]) -> None:
    option = ["--security-opt", "no-new-privileges"]
    done = mydocker(5, "run", "--rm", "--net", "none", *option, *as_nobody)
    told = status(done.stdout)
    assert told["Uid"].split() == ["65534"] * 4
    assert told["CapEff"].strip("0") == "" and told["NoNewPrivs"] == "1"


@pytest.mark.parametrize("text", ["no-new-privileges=true", "no-new-privileges:true"])
def test_docker_writes_it_in_more_ways(mydocker: Launcher, text: str) -> None:
    command = ["busybox", "grep", "NoNewPrivs", "/proc/self/status"]
    done = mydocker(5, "run", "--rm", "--security-opt", text, *command)
    assert done.stdout.split() == ["NoNewPrivs:", "1"]
    done = mydocker(5, "run", "--rm", "--security-opt", "no-new-privileges=false", *command)
    assert done.stdout.split() == ["NoNewPrivs:", "0"]


# Without the filter, so that it is the capability which is missing: number of the call, arguments
WITHOUT_CAPABILITY = """
machine = os.uname().machine
mount, sethostname, reboot, unshare, setns = {
    "x86_64": (165, 170, 169, 272, 308), "aarch64": (40, 161, 142, 97, 268)}[machine]
tmpfs = buffer(b"tmpfs")
print("mount", call(mount, tmpfs, buffer(b"/tmp"), tmpfs, 0, 0))
print("sethostname", call(sethostname, buffer(b"x"), 1))
# LINUX_REBOOT_CMD_CAD_OFF: does nothing in a PID namespace but ask for the right
print("reboot", call(reboot, 0xfee1dead, 672274793, 0, 0))
print("unshare", call(unshare, 0x20000))
print("setns", call(setns, os.open("/proc/self/ns/uts", os.O_RDONLY), 0))
try:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    print("realtime ok")
except OSError as error:
    print("realtime", errno.errorcode[error.errno])
"""


def test_what_needs_a_missing_capability_is_refused(mydocker: Launcher) -> None:
    options = ["--security-opt", "seccomp=unconfined", "--net", "none", *PYTHON]
    done = mydocker(5, "run", "--rm", *options, "busybox", *python(WITHOUT_CAPABILITY))
    answers = dict(line.split() for line in done.stdout.splitlines())
    assert set(answers.values()) == {"EPERM"}, answers


def test_what_the_default_ones_are_for_works(mydocker: Launcher) -> None:
    script = (
        "touch /tmp/x && chown 1:1 /tmp/x && chmod 4755 /tmp/x && mknod /tmp/p c 1 3 &&"
        "mkdir /tmp/r && cp /bin/busybox /tmp/r/ && chroot /tmp/r /busybox echo chrooted &&"
        "su -s /bin/sh nobody -c id"
    )
    passwd = "echo 'nobody:x:65534:65534::/:/bin/sh' >/etc/passwd; "
    done = mydocker(5, "run", "--rm", "--net", "none", "busybox", "sh", "-c", passwd + script)
    assert done.stdout.split()[0] == "chrooted" and "65534" in done.stdout


def test_exec_has_the_same_and_no_more(mydocker: Launcher, sandbox: Sandbox) -> None:
    name, options = "confined", ["--cap-drop", "NET_RAW", "--security-opt", "no-new-privileges"]
    mydocker(5, "run", "-d", "--name", name, "--net", "none", *options, "busybox", "sleep", "60")
    try:
        told = status(mydocker(5, "exec", name, "cat", "/proc/self/status").stdout)
        first = status(mydocker(5, "exec", name, "cat", "/proc/1/status").stdout)
        for line in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "Seccomp", "NoNewPrivs"):
            assert told[line] == first[line], line
        assert int(told["CapBnd"], 16) == DOCKERS & ~NET_RAW & ours()
        assert told["Seccomp"] == "2" and told["NoNewPrivs"] == "1"
        user = status(mydocker(5, "exec", "-u", "7", name, "cat", "/proc/self/status").stdout)
        assert user["Uid"].split() == ["7"] * 4 and int(user["CapPrm"], 16) == 0
        more = mydocker(5, "exec", "--privileged", name, "cat", "/proc/self/status")
        assert int(status(more.stdout)["CapBnd"], 16) == ours()
    finally:
        mydocker(5, "rm", "-f", name)


def test_setpriv_sees_what_we_say() -> None:
    """The numbers in the tables are the kernel's: setpriv(1) of util-linux has its own."""
    from mydocker.security import capabilities

    for name in capabilities.NAMES[:37]:  # setpriv's list ends there in older versions
        word = name.removeprefix("CAP_").lower()
        if not ours() >> capabilities.NAMES.index(name) & 1:
            continue
        done = subprocess.run(
            ["setpriv", "--bounding-set", f"-all,+{word}", "cat", "/proc/self/status"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert int(status(done.stdout)["CapBnd"], 16) == capabilities.mask([name]), name

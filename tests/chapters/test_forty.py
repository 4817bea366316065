"""The program in forty lines, at each stage: what its page says of it, for real."""

import ast
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sandbox.groups import Outside
from sandbox.launcher import Started, eventually
from sandbox.patience import patience

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "chapters"))
import forty  # noqa: E402

KEPT = "00000000a00425fb"  # Docker's default (moby, oci/caps/defaults.go) without CAP_MKNOD
every_stage = pytest.mark.parametrize("stage", forty.STAGES)


def since(first: int) -> pytest.MarkDecorator:
    """The stages from the one on that brought what is tested."""
    return pytest.mark.parametrize("stage", forty.STAGES[first - 1 :])


# The text


@every_stage
def test_it_stays_under_a_hundred_lines(stage: int) -> None:
    lines = forty.program(stage).splitlines()
    assert len(lines) < 100
    if stage == 1:
        assert len([line for line in lines if line]) == 40  # as the page is called
    else:
        assert len(lines) > len(forty.program(stage - 1).splitlines())


def test_stages_only_add() -> None:
    for stage in forty.STAGES[1:]:
        later = iter(forty.program(stage).splitlines())
        assert all(line in later for line in forty.program(stage - 1).splitlines() if line)


@every_stage
@pytest.mark.parametrize("arguments", [["check"], ["format", "--check"]], ids=" ".join)
def test_each_stage_is_well_written(stage: int, arguments: list[str]) -> None:
    """Nothing stands in it that a later stage needs: ruff knows an import that nobody uses."""
    ruff = [sys.executable, "-m", "ruff", *arguments, "--no-cache", "--stdin-filename", "box.py"]
    text = forty.program(stage)
    done = subprocess.run([*ruff, "-"], cwd=ROOT, input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_needs_nothing_but_python() -> None:
    program = ast.parse(forty.program(forty.STAGES[-1]))
    imported = {alias.name for node in program.body if isinstance(node, ast.Import)
                for alias in node.names}  # fmt: skip
    imported |= {str(node.module) for node in program.body if isinstance(node, ast.ImportFrom)}
    assert "ctypes" in imported
    assert imported <= sys.stdlib_module_names


def test_the_pieces_are_all_that_a_stage_adds() -> None:
    shown = [line for stage in forty.STAGES for piece in forty.pieces(stage)
             for line in piece.splitlines() if line and "# below: " not in line]  # fmt: skip
    assert sorted(shown) == sorted(filter(None, forty.program(forty.STAGES[-1]).splitlines()))


@pytest.mark.parametrize("arguments", [[], ["0"], ["6"], ["x"], ["1", "2"]], ids=" ".join)
def test_nonsense_is_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert forty.main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_stage_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert forty.main(["1"]) == 0
    assert capsys.readouterr().out == forty.program(1)


# The containers


class Box:
    """The program after a stage, and an image for it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.started: list[Started] = []
        self.image = place / "image"
        for name in ("bin", "proc"):
            (self.image / name).mkdir(parents=True)
        shutil.copy(shutil.which("busybox") or "/bin/busybox", self.image / "bin/busybox")
        for name in ("sh", "tail", "hostname", "ps"):
            (self.image / "bin" / name).symlink_to("busybox")

    def argv(self, stage: int, *words: str | Path, options: tuple[str, ...] = ()) -> list[str]:
        program = self.place / f"box-{stage}.py"
        program.write_text(forty.program(stage))
        image = [self.image] if stage >= 3 else []
        return [sys.executable, str(program), *options, *map(str, (*image, *words))]

    def __call__(
        self, stage: int, *words: str | Path, options: tuple[str, ...] = (), code: int = 0
    ) -> str:
        """What the command in the container printed; fails if that is not its exit code."""
        done = subprocess.run(
            self.argv(stage, *words, options=options),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=patience(60),
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code in (0, 3) else done.stderr

    def start(
        self, stage: int, *words: str, options: tuple[str, ...] = ()
    ) -> tuple[Started, psutil.Process]:
        """The program, and its container's first process, which has become the command."""
        argv = self.argv(stage, *words, options=options)
        started = Started(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.started.append(started)
        program = psutil.Process(started.pid)

        def first() -> psutil.Process | None:
            became = [child for child in program.children() if child.cmdline()[:1] == [words[0]]]
            return became[0] if became and became[0].cmdline()[1:] == [*words[1:]] else None

        return started, eventually(first, what="the container's first process")


def left_groups() -> set[Path]:
    """Control groups of containers that are no more."""
    tops = [Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/memory")]
    groups = {group for top in tops for group in top.glob("box-*")}
    return {group for group in groups if not alive(int(group.name.removeprefix("box-")))}


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    """Each that a test leaves running is killed, and has to leave nothing: its group is looked for
    here, everything else by the host contract."""
    before = left_groups()  # by a test that failed
    box = Box(tmp_path)
    yield box
    for started in box.started:
        started.kill()
        started.wait()
        for stream in filter(None, (started.stdout, started.stderr)):
            stream.close()
    eventually(lambda: left_groups() <= before, what="the end of all groups")


@pytest.mark.root
@every_stage
def test_it_has_its_own_name_and_processes(box: Box, stage: int) -> None:
    before = os.uname().nodename
    printed = box(stage, "sh", "-c", "hostname; echo $$; ps", options=("--hostname", "käfig"))
    name, pid, _, *processes = printed.splitlines()
    assert (name, pid) == ("käfig", "1")
    assert 1 <= len(processes) <= 2  # a shell may become its last command
    assert os.uname().nodename == before
    assert box(stage, "hostname") == "box\n"


@pytest.mark.root
@every_stage
def test_its_end_is_ours(box: Box, stage: int) -> None:
    box(stage, "sh", "-c", "exit 3", code=3)
    started, first = box.start(stage, "sh", "-c", "while :; do :; done")
    first.kill()
    assert started.wait(timeout=20) == 128 + signal.SIGKILL


@pytest.mark.root
@every_stage
def test_no_mount_gets_out(box: Box, stage: int) -> None:
    """Where all are shared, as systemd has them; and `/proc` outside shows who is outside."""
    look = "findmnt --noheadings --raw --output TARGET,FSTYPE"
    argv = box.argv(stage, "hostname")
    script = f'{look} >"$0"/before && "$@" && {look} >"$0"/after && pgrep -x cat'
    shared = ["unshare", "--mount", "--propagation", "shared", "sh", "-c", script]
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE):  # somebody for pgrep to find
        done = subprocess.run([*shared, box.place, *argv], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (box.place / "after").read_text() == (box.place / "before").read_text()


@pytest.mark.root
@since(2)
def test_its_memory_ends_somewhere(box: Box, stage: int) -> None:
    grow = "x=x; while :; do x=$x$x; done"
    box(stage, "sh", "-c", grow, options=("-m", "20"), code=128 + signal.SIGKILL)


@pytest.mark.root
@since(2)
def test_its_limit_is_the_kernels(box: Box, stage: int) -> None:
    started, first = box.start(stage, "busybox", "sleep", "1000", options=("--memory", "30"))
    outside = Outside()
    assert int(outside.read(first.pid, "memory.limit_in_bytes", "memory.max")) == 30 << 20
    group = outside.directory(first.pid, "memory")
    assert group.name == f"box-{first.pid}"
    first.kill()
    started.wait(timeout=20)
    assert not group.exists()  # not a moment later


@pytest.mark.root
@since(3)
def test_another_root_and_no_way_back(box: Box, stage: int) -> None:
    _, first = box.start(stage, "busybox", "sleep", "1000")
    assert os.readlink(f"/proc/{first.pid}/cwd") == "/"
    mounts = Path(f"/proc/{first.pid}/mountinfo").read_text().splitlines()
    points = {line.split()[4] for line in mounts}
    assert points - {"/proc/sys", "/proc/sysrq-trigger", "/proc/irq"} == {"/", "/proc"}
    # setns(2) leads to the root of the mount namespace itself, past a chroot
    enter = ["nsenter", "--mount", "--target", str(first.pid), "/bin/busybox", "ls", "/"]
    shown = subprocess.run(enter, capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["bin", "proc"]


@pytest.mark.root
@since(3)
def test_what_it_writes_stays_out_of_the_image(box: Box, stage: int) -> None:
    def files() -> list[str]:
        return sorted(str(path.relative_to(box.image)) for path in box.image.rglob("*"))

    before = files()
    told = box(stage, "sh", "-c", "echo new >/new; rm /bin/ps; busybox ls / /bin; exit 3", code=3)
    assert "new" in told.split()
    assert "ps" not in told.split()
    assert files() == before
    assert not list(Path("/mnt").glob("upper"))


@pytest.mark.root
def test_layers_lie_on_one_another(box: Box, tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    upper.mkdir()
    (upper / "file").write_text("from above")
    (box.image / "file").write_text("from below")
    box.image = Path(f"{upper}:{box.image}")
    assert box(3, "busybox", "cat", "/file") == "from above"


@pytest.mark.root
@since(4)
def test_two_reach_the_host_and_it_reaches_them(box: Box, stage: int) -> None:
    started = [box.start(stage, "busybox", "sleep", "1000") for _ in range(2)]
    ping = ["busybox", "ping", "-c1", "-W5"]
    for _, first in started:
        inside = ["nsenter", "--net", "--target", str(first.pid)]
        subprocess.run([*inside, *ping, "198.19.0.1"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([*inside, *ping, "127.0.0.1"], check=True, stdout=subprocess.DEVNULL)
        theirs = f"198.18.{first.pid // 256 % 256}.{first.pid % 256}"
        subprocess.run([*ping, theirs], check=True, stdout=subprocess.DEVNULL)
        links = subprocess.run([*inside, "ip", "-brief", "link"], capture_output=True, text=True)
        assert re.findall(r"^\w+", links.stdout, re.M) == ["lo", "eth0"]


@pytest.mark.root
@pytest.mark.parametrize("stage", forty.STAGES[:3])
def test_before_there_is_a_network_it_has_the_hosts(box: Box, stage: int) -> None:
    _, first = box.start(stage, "busybox", "sleep", "1000")
    assert os.readlink(f"/proc/{first.pid}/ns/net") == os.readlink("/proc/self/ns/net")


@pytest.mark.root
def test_what_a_guest_may_not_do(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "of the host")
    script = """
        busybox grep -E 'Cap(Prm|Eff|Bnd)' /proc/self/status
        now=$(busybox cat /proc/sys/vm/swappiness)
        (echo "$now" >/proc/sys/vm/swappiness) && echo written
        busybox mount -t tmpfs tmpfs /bin && echo mounted
        busybox umount /proc/sys && echo unmounted
        busybox mknod /disk b 254 0 && echo made
        busybox env"""
    told = box(5, "sh", "-c", script).splitlines()
    assert [line.split()[1] for line in told[:3]] == [KEPT] * 3
    assert {line.split("=")[0] for line in told[3:]} <= {"PATH", "HOME", "PWD", "SHLVL"}


@pytest.mark.root
def test_it_is_asked_to_end_and_then_made_to(box: Box) -> None:
    loop = "while :; do busybox sleep 0.1; done"
    started, _ = box.start(5, "sh", "-c", f"trap 'exit 7' TERM; echo ready; {loop}")
    assert started.stdout is not None
    assert started.stdout.readline() == "ready\n"
    started.terminate()
    assert started.wait(timeout=20) == 7
    started, first = box.start(5, "busybox", "sleep", "1000")  # PID 1: no signal ends it
    started.terminate()
    assert first.is_running()
    started.send_signal(signal.SIGALRM)  # what alarm(2) does ten seconds later
    assert started.wait(timeout=20) == 128 + signal.SIGKILL


@pytest.mark.root
@every_stage
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=lambda x: x.name)
def test_killed_it_leaves_nothing(box: Box, stage: int, number: signal.Signals) -> None:
    started, first = box.start(stage, "busybox", "sleep", "1000")
    others = left_groups()
    started.send_signal(number)
    assert started.wait(timeout=20) == -number
    first.wait(timeout=patience(20))
    eventually(lambda: left_groups() <= others, what="the end of its group")  # and the contract


@pytest.mark.root
def test_killed_at_any_write_it_leaves_nothing(box: Box) -> None:
    """Of the program itself: when it has made its group, a limit, a link or all of them."""
    strace = ["strace", "-qq", "-o", "/dev/null", "-e", "trace=mkdir,write,wait4", "-e"]
    argv = box.argv(forty.STAGES[-1], "busybox", "true")
    others, ends = left_groups(), []
    for k in range(1, 40):
        inject = f"inject=mkdir,write,wait4:signal=SIGKILL:when={k}"
        done = subprocess.run([*strace, inject, *argv], capture_output=True, timeout=patience(60))
        ends.append(done.returncode)
        eventually(lambda: left_groups() <= others, what=f"the end of its group, killed at {k}")
        if done.returncode == 0:
            break
    assert ends[-1] == 0
    assert set(ends[:-1]) == {-signal.SIGKILL}
    assert len(ends) > 8


@pytest.mark.root
@every_stage
def test_killed_before_the_child_has_asked_to_be(box: Box, stage: int) -> None:
    """Its prctl(2) then comes too late: what it waits for tells it."""
    delay = ["trace=prctl", "-e", "inject=prctl:delay_enter=1000000"]
    argv = box.argv(stage, "busybox", "sleep", "1000")
    strace = Started(["strace", "-f", "-qq", "-o", "/dev/null", "-e", *delay, *argv])
    box.started.append(strace)
    children = psutil.Process(strace.pid).children  # at first strace tries with others what it can
    (program,) = eventually(lambda: [child for child in children() if child.cmdline() == argv])
    eventually(lambda: psutil.Process(program.pid).children())
    program.kill()
    assert strace.wait(timeout=20) == -signal.SIGKILL  # it follows all of them to their end


@pytest.mark.root
@every_stage
def test_bad_input_is_told_in_a_line(box: Box, stage: int) -> None:
    told = box(stage, "no-such-command", code=1)
    assert told.startswith("box: [Errno 2] No such file or directory:")
    assert told.count("\n") == 1
    if stage >= 2:
        assert "invalid int value: 'x'" in box(stage, "hostname", options=("-m", "x"), code=2)
        assert box(stage, "hostname", options=("-m", "-9"), code=1).count("\n") == 1
    if stage >= 3:
        box.image = box.place / "no-such-image"
        assert "no-such-image" in box(stage, "hostname", code=1)


@pytest.mark.root
def test_without_root_it_says_what_the_kernel_said() -> None:
    user = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"]
    argv = [*user, sys.executable, "-c", forty.program(1), "true"]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Operation not permitted" in done.stderr
    assert done.stderr.count("\n") == 1

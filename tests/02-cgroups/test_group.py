"""A group's life on the real machine: made, joined, frozen, killed, removed."""

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from sandbox.groups import Outside
from sandbox.launcher import eventually
from sandbox.machine import Sandbox

from mydocker.cgroups import devices, ebpf, freezer, hierarchy, oom, settings, statistics
from mydocker.cgroups.cgroup import Cgroup
from mydocker.cgroups.limits import Limits
from mydocker.cgroups.part import CgroupPart, cgroup_part, disposable_above
from mydocker.container.parts import rebuilt, saved
from mydocker.kernel import syscalls
from mydocker.kernel.errors import Failure
from mydocker.kernel.records import replace

pytestmark = pytest.mark.root


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process to play with."""
    yield from started("sleep", "60")


@pytest.fixture
def counter() -> Iterator[subprocess.Popen[bytes]]:
    """A process that is always busy."""
    yield from started("sh", "-c", "while :; do :; done")


def started(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command)
    yield process
    process.kill()
    process.wait(10)  # a process that a failed test left frozen does not even die


def cpu_time(pid: int) -> float:
    return psutil.Process(pid).cpu_times().user


def test_made_joined_left_removed(group: Cgroup, sleeper: subprocess.Popen[bytes]) -> None:
    group.create()
    assert all(Path(directory).is_dir() for directory in group.directories)
    group.attach(sleeper.pid)
    told = hierarchy.groups_of(sleeper.pid)
    for one in group.machine.usable:
        assert told[one.label] == f"/{group.path}", one.label
    assert group.processes() == [sleeper.pid]
    sleeper.kill()
    group.remove()
    assert not group.exists
    group.remove()  # nothing there any more: nothing to do


def test_a_group_with_a_living_process_is_not_removed(
    group: Cgroup, sleeper: subprocess.Popen[bytes]
) -> None:
    group.create()
    group.attach(sleeper.pid)
    with pytest.raises(Failure, match="Processes are still in it"):
        group.remove()
    assert group.exists


def test_frozen_it_does_not_run_thawed_it_does(
    group: Cgroup, counter: subprocess.Popen[bytes]
) -> None:
    group.create()
    group.attach(counter.pid)
    freezer.freeze(group)
    assert freezer.frozen(group)
    stopped = cpu_time(counter.pid)
    time.sleep(0.2)
    assert cpu_time(counter.pid) == stopped
    freezer.thaw(group)
    assert not freezer.frozen(group)
    eventually(lambda: cpu_time(counter.pid) > stopped)


@pytest.mark.parametrize("frozen", [False, True])
def test_kill_takes_all_also_in_groups_below(
    group: Cgroup, sleeper: subprocess.Popen[bytes], counter: subprocess.Popen[bytes], frozen: bool
) -> None:
    below = replace(group, path=f"{group.path}/below")
    below.create()
    below.attach(counter.pid)
    # In v2 a group may have processes or hand on controllers, not both: this one hands none on.
    below_two = replace(group, path=f"{group.path}/two")
    below_two.create()
    below_two.attach(sleeper.pid)
    if frozen:
        freezer.freeze(group)
    assert freezer.kill(group) == sorted([counter.pid, sleeper.pid])
    assert (counter.wait(10), sleeper.wait(10)) == (-9, -9)
    assert freezer.kill(group) == []


def test_the_oom_killer_in_a_group_below_counts(group: Cgroup) -> None:
    """A container may have made groups of its own; v1 counts for each apart."""
    below = replace(group, path=f"{group.path}/below")
    below.create(frozenset({"memory"}))
    group.apply(settings.plan(Limits(memory=20 << 20), group.machine))
    script = "read go; dd if=/dev/zero of=/dev/null bs=100M count=1 2>/dev/null"
    process = subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE)
    below.attach(process.pid)
    process.communicate(b"go\n")
    assert process.returncode == 137
    assert oom.oom_kills(group) == 1
    assert oom.report(group) == "killed: out of memory, limit 20 MiB"


def test_kill_without_cgroup_kill(
    group: Cgroup, counter: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As before Linux 5.14 and on pure v1: freeze, signal, thaw."""
    group.create()
    group.attach(counter.pid)
    there = os.path.exists
    monkeypatch.setattr(
        "mydocker.cgroups.freezer.os.path.exists",
        lambda path: not str(path).endswith("cgroup.kill") and there(path),
    )
    assert freezer.kill(group) == [counter.pid]
    assert counter.wait(10) == -9


def test_nobody_is_signalled_unless_all_stand_still(
    group: Cgroup, counter: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a process that forks at that moment leaves a child that is not on the list."""
    group.create()
    group.attach(counter.pid)
    there = os.path.exists
    monkeypatch.setattr(
        "mydocker.cgroups.freezer.os.path.exists",
        lambda path: not str(path).endswith("cgroup.kill") and there(path),
    )
    send, stood_still = syscalls.pidfd_send_signal, []

    def looking(*arguments: Any, **named: Any) -> None:
        stood_still.append(freezer.frozen(group))
        send(*arguments, **named)

    monkeypatch.setattr(syscalls, "pidfd_send_signal", looking)
    freezer.kill(group)
    assert stood_still == [True]
    assert counter.wait(10) == -9


def test_who_got_the_pid_meanwhile_is_spared(
    group: Cgroup, sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the group ends, and its pid is another's before it is signalled."""
    group.create()
    opened = syscalls.pidfd_open
    listed = [sleeper.pid]  # who was never in the group
    monkeypatch.setattr(Cgroup, "processes", lambda self: list(listed))

    def meanwhile(pid: int, *arguments: Any, **named: Any) -> int:
        listed.clear()  # now the kernel says so, too
        return opened(pid, *arguments, **named)

    monkeypatch.setattr(syscalls, "pidfd_open", meanwhile)
    monkeypatch.setattr(Cgroup, "processes_in", lambda self, hierarchy: [])
    freezer.kill(group)
    assert listed == []
    assert sleeper.poll() is None
    monkeypatch.undo()


def test_a_fork_bomb_is_killed(group: Cgroup) -> None:
    group.create(frozenset(["pids"]))
    group.apply(settings.plan(Limits(pids=60), group.machine))
    bomb = "import os\nwhile 1:\n try: os.fork()\n except OSError: pass"
    with subprocess.Popen(["sh", "-c", f"read go; exec python3 -c '{bomb}'"], stdin=-1) as shell:
        group.attach(shell.pid)
        assert shell.stdin is not None
        shell.stdin.write(b"go\n")
        shell.stdin.flush()
        eventually(lambda: len(group.processes()) > 30)
        freezer.kill(group)
        assert group.processes() == []


def test_memory_may_be_lowered_and_raised(group: Cgroup) -> None:
    """v1 refuses a limit above memory and swap together, so the order of the writes matters."""
    group.create(frozenset(["memory"]))
    for size in (50 << 20, 300 << 20, 20 << 20):
        group.apply(settings.plan(Limits(memory=size), group.machine))
        assert statistics.of(group).memory_limit == size


def test_a_limit_without_its_file_is_refused(group: Cgroup) -> None:
    group.create()
    setting = settings.Setting("cpu", "cpu.no_such_file", "1", "", "--cpus")
    with pytest.raises(Failure, match=r"--cpus: group .* has no file cpu.no_such_file"):
        group.apply([setting])
    group.apply([replace(setting, option="")])  # asked for by nobody


def test_a_value_that_the_kernel_refuses_is_explained(group: Cgroup) -> None:
    group.create(frozenset(["pids"]))
    with pytest.raises(Failure, match=r'write\(".*pids.max", "-7"\).*--pids-limit'):
        group.apply([settings.Setting("pids", "pids.max", "-7", "", "--pids-limit")])


def test_no_such_process(group: Cgroup) -> None:
    group.create()
    with pytest.raises(Failure, match="no such process"):
        group.attach(2**22 - 1)


def test_a_group_with_processes_hands_nothing_on(
    group: Cgroup, sleeper: subprocess.Popen[bytes]
) -> None:
    """v2's rule, where it applies: a limit below a group that has processes."""
    if group.machine.world != "v2":
        pytest.skip("a rule of pure v2")
    bare = Path(group.machine.unified.directory(group.path)) if group.machine.unified else Path()
    Cgroup(os.path.dirname(group.path), group.machine).create()
    bare.mkdir()
    group.attach(sleeper.pid)
    below = replace(group, path=f"{group.path}/below")
    with pytest.raises(Failure, match="no-internal-processes"):
        below.create(frozenset(["memory"]))
    below.create()  # without a limit it does, and counts less


def test_the_parent_may_go_at_any_time(sandbox: Sandbox) -> None:
    """Three that make a group and remove it with the parent, all at once."""
    machine = hierarchy.read()
    parent = f"{sandbox.cgroup_parent}/race"
    errors: list[BaseException] = []

    def work(name: str) -> None:
        one = Cgroup(f"{parent}/{name}", machine)
        above = Cgroup(parent, machine).directories
        try:
            for _ in range(60):
                one.create()
                one.remove(above)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    Cgroup(parent, machine).remove(Cgroup(sandbox.cgroup_parent, machine).directories)
    assert [str(error) for error in errors] == []


def test_our_parent_goes_and_a_foreign_one_stays(sandbox: Sandbox, outside: Outside) -> None:
    machine = hierarchy.read()
    ours = disposable_above(sandbox.cgroup_parent, machine)
    assert set(ours) == set(Cgroup(sandbox.cgroup_parent, machine).directories)
    made = Cgroup(f"{sandbox.cgroup_parent}x", machine)
    made.create()
    try:
        assert disposable_above(made.path, machine) == ()
    finally:
        made.remove()


# ---------------------------------------------------------------- the part


def test_another_process_releases_from_the_record(
    sandbox: Sandbox, sleeper: subprocess.Popen[bytes]
) -> None:
    part = cgroup_part("f" * 64, Limits(memory=30 << 20, devices=("c 1:11 r",)))
    record = json.dumps(saved([part]))
    part.prepare()
    part.group().attach(sleeper.pid)
    (again,) = rebuilt(json.loads(record))
    assert isinstance(again, CgroupPart)
    assert again.limits.memory == 30 << 20
    again.release()
    assert sleeper.wait(10) == -9
    assert not part.group().exists
    again.release()


def test_release_before_prepare() -> None:
    cgroup_part("e" * 64, Limits()).release()


# ---------------------------------------------------------------- devices, by eBPF in any world


def tried(path: str, flags: int, join: Path) -> int:
    """The errno with which a child that joined the group ``join`` opens ``path``; 0: it can."""
    pid = os.fork()
    if pid == 0:
        try:
            (join / "cgroup.procs").write_text(str(os.getpid()))
            os.close(os.open(path, flags))
            os._exit(0)
        except OSError as error:
            os._exit(error.errno or 255)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_the_program_decides(group: Cgroup) -> None:
    """On a hybrid machine the unified hierarchy takes the program too, beside v1's list."""
    unified = group.machine.unified
    if unified is None:
        pytest.skip("cgroup v2 is not mounted here")
    group.create()
    directory = Path(unified.directory(group.path))
    assert tried("/dev/kmsg", os.O_RDONLY, directory) == 0
    devices._program(str(directory), ("c 1:3 rwm", "c 1:11 r", "c 5:* m"))
    assert tried("/dev/kmsg", os.O_RDONLY, directory) == 0
    assert tried("/dev/kmsg", os.O_RDWR, directory) == 1
    assert tried("/dev/null", os.O_RDWR, directory) == 0
    assert tried("/dev/zero", os.O_RDONLY, directory) == 1


def test_the_program_has_the_length_that_its_rules_need() -> None:
    assert len(ebpf.device_filter(())) == 8 * (6 + 2)
    assert len(ebpf.device_filter(("a *:* rwm",))) == 8 * (6 + 2 + 2)
    assert len(ebpf.device_filter(("c 1:3 r",))) == 8 * (6 + 3 + 3 + 2 + 2)


# ---------------------------------------------------------------- statistics


def test_statistics_grow_with_use(group: Cgroup, counter: subprocess.Popen[bytes]) -> None:
    group.create(frozenset(["memory", "pids", "cpu"]))
    group.attach(counter.pid)
    before = statistics.of(group)
    eventually(lambda: (statistics.of(group).cpu or 0) > (before.cpu or 0) + 50_000_000)
    now = statistics.of(group)
    assert now.pids == 1
    assert now.memory_limit is None and now.pids_limit is None
    assert now.memory is not None and now.read_bytes is not None
    assert now.oom_kills == 0
    if Path("/proc/pressure").is_dir() and group.machine.unified:
        assert {line.resource for line in now.pressure} >= {"cpu", "memory"}


def test_parsers() -> None:
    v1 = "8:0 Read 100\n8:0 Write 5\n8:16 Read 20\nTotal 125\n"
    assert statistics.io_v1_of(v1) == {"Read": 120, "Write": 5}
    v2 = "8:0 rbytes=100 wbytes=5 rios=1\n8:16 rbytes=20\n8:32 \n"
    assert statistics.io_v2_of(v2) == {"rbytes": 120, "wbytes": 5, "rios": 1}
    (line,) = statistics.pressure_of("cpu", "some avg10=1.50 avg60=0.25 avg300=0.01 total=30\n")
    assert (line.kind, line.ten, line.sixty, line.total) == ("some", 1.5, 0.25, 30_000)
    assert oom.pairs_of("oom_kill 3\nmax 7\nodd line here\n") == {"oom_kill": 3, "max": 7}

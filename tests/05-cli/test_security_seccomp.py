"""The seccomp filter: its programs against the profiles they are made from, and in containers."""

import json
import os
import platform
import re
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sandbox.inside import PYTHON, need_image, python, status
from sandbox.launcher import Launcher

from mydocker.kernel.errors import Failure
from mydocker.security import bpf
from mydocker.security.capabilities import DEFAULT, NAMES
from mydocker.security.default_profile import default_profile
from mydocker.security.profile import (
    ALLOW,
    ERRNO,
    KILL_PROCESS,
    LOG,
    TRAP,
    Condition,
    Profile,
    Rule,
    Surroundings,
    parse,
)
from mydocker.security.syscall_numbers import MACHINES, numbers

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
EPERM, ENOSYS = ERRNO | 1, ERRNO | 38
HERE = platform.machine()


# ---------------------------------------------------------------- a machine for the programs


def answer(program: bytes, number: int, arguments: tuple[int, ...], architecture: int) -> int:
    """What a classic BPF program says of one call: the machine of the kernel, in a few lines."""
    padded = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=iIQ6Q", number, architecture, 0, *padded)
    accumulator = at = 0
    while True:
        operation, true, false, constant = struct.unpack_from("=HBBI", program, at * 8)
        at += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, constant)
        elif operation == 0x54:
            accumulator &= constant
        elif operation == 0x06:
            return int(constant)
        elif operation == 0x05:
            at += constant
        else:
            jump = {
                0x15: accumulator == constant,
                0x25: accumulator > constant,
                0x35: accumulator >= constant,
            }[operation]
            at += true if jump else false


def expected(profile: Profile, name: str, arguments: tuple[int, ...]) -> int:
    """What the profile says of it, rule by rule."""
    for rule in profile.rules:
        if name in rule.names and all(_holds(c, arguments) for c in rule.conditions):
            return rule.action
    return profile.default


def _holds(condition: Condition, arguments: tuple[int, ...]) -> bool:
    value, wanted = arguments[condition.argument], condition.value
    return {
        "EQ": value == wanted, "NE": value != wanted, "LT": value < wanted, "LE": value <= wanted,
        "GT": value > wanted, "GE": value >= wanted,
        "MASKED_EQ": value & wanted == condition.value_two,
    }[condition.operator]  # fmt: skip


EDGES = [0, 1, 2, 38, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**63, 2**64 - 1]
VALUES = st.sampled_from(EDGES) | st.integers(0, 2**64 - 1)
ALL = sorted(numbers("x86_64"))
CONDITIONS = st.builds(
    Condition, st.integers(0, 5),
    st.sampled_from(["EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ"]), VALUES, VALUES,
)  # fmt: skip
RULES = st.builds(
    Rule,
    st.lists(st.sampled_from(ALL), min_size=1, max_size=40).map(tuple),
    st.sampled_from([ALLOW, EPERM, ERRNO | 95, TRAP, KILL_PROCESS, LOG]),
    st.lists(CONDITIONS, max_size=3).map(tuple),
)
PROFILES = st.builds(
    Profile, st.sampled_from([ALLOW, EPERM, KILL_PROCESS]), st.lists(RULES, max_size=12).map(tuple)
)


@settings(max_examples=150, deadline=None)
@given(profile=PROFILES, machine=st.sampled_from(MACHINES), data=st.data())
def test_a_program_says_what_its_profile_says(profile: Profile, machine: str, data: Any) -> None:
    program, known = bpf.compiled(profile, machine), numbers(machine)
    named = sorted({name for rule in profile.rules for name in rule.names if name in known})
    for name in data.draw(st.lists(st.sampled_from(named or ["read"]), min_size=5, max_size=9)):
        compared = [c.value for rule in profile.rules for c in rule.conditions] or [0]
        # The same number, and those that differ from it in one bit of the lower or upper half
        value = VALUES | st.sampled_from([n ^ bit for n in compared for bit in (0, 1, 1 << 32)])
        arguments = data.draw(st.tuples(*[value] * 6))
        found = answer(program, known[name], arguments, ARCHITECTURES[machine])
        assert found == expected(profile, name, arguments), name


def test_jumps_may_be_longer_than_a_byte() -> None:
    conditions = tuple(Condition(index, "GE", 1 << 33) for index in range(6))
    rules = tuple(Rule((name,), ALLOW, conditions) for name in ALL[:200])
    program = bpf.compiled(Profile(EPERM, rules), "x86_64")
    assert len(program) // 8 > 2500
    for name in ALL[:200]:
        number, high = numbers("x86_64")[name], (1 << 34,) * 6
        assert answer(program, number, high, ARCHITECTURES["x86_64"]) == ALLOW
        assert answer(program, number, (*high[:5], 1), ARCHITECTURES["x86_64"]) == EPERM


def test_too_long_for_the_kernel_is_said() -> None:
    rules = tuple(
        Rule((name,), ALLOW, tuple(Condition(index, "GE", at << 32) for index in range(6)))
        for at, name in enumerate(ALL)
    )
    with pytest.raises(Failure, match="too long"):
        bpf.compiled(Profile(EPERM, rules), "x86_64")


@pytest.mark.parametrize("machine", MACHINES)
def test_another_architecture_is_killed(machine: str) -> None:
    program = bpf.compiled(default_profile(DEFAULT), machine)
    for architecture in (0x40000003, 0x40000028, 0):  # i386, ARM, nonsense
        assert answer(program, numbers(machine)["getpid"], (), architecture) == KILL_PROCESS


@pytest.mark.parametrize("action", [ALLOW, LOG, EPERM])
def test_x32_is_no_way_around_a_profile(action: int) -> None:
    """The numbers of x32 are those of x86_64 with bit 30 set, and reach the same calls: a profile
    that allows all but some would forbid nothing. They do not exist here, whatever it says."""
    rules = (Rule(("mount", "read"), KILL_PROCESS), Rule(("getpid",), ALLOW))
    program = bpf.compiled(Profile(action, rules), "x86_64")
    named = [numbers("x86_64")[name] for name in ("mount", "getpid")]
    for number in (*named, 0, 512, 547, 0x3FFFFFFF):
        x32 = 0x40000000 | number
        assert answer(program, x32, (), ARCHITECTURES["x86_64"]) == ENOSYS
    assert answer(program, 0, (), ARCHITECTURES["x86_64"]) == KILL_PROCESS


def test_an_unknown_machine_is_one_clear_line() -> None:
    with pytest.raises(Failure, match="system calls of mips are not known"):
        bpf.compiled(default_profile(DEFAULT), "mips")


# ---------------------------------------------------------------- the default profile


def default(name: str, *arguments: int, capabilities: frozenset[str] = DEFAULT) -> int:
    program = bpf.compiled(default_profile(capabilities), "x86_64")
    return answer(program, numbers("x86_64")[name], arguments, ARCHITECTURES["x86_64"])


def test_numbers_are_those_of_the_headers() -> None:
    for machine, path in {
        "x86_64": "/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
    }.items():
        if not os.path.exists(path):
            pytest.skip("linux-libc-dev is not installed")
        found = dict(re.findall(r"#define __NR_(\w+) (\d+)", Path(path).read_text()))
        ours = numbers(machine)
        assert {name: ours.get(name) for name in found} == {n: int(v) for n, v in found.items()}


def test_numbers_of_this_machine_are_the_kernels() -> None:
    """A call made by its number does what its name says: strace has a table of its own."""
    if HERE not in MACHINES:
        pytest.skip("another machine")
    number = numbers(HERE)
    names = ["getppid", "getsid", "sched_yield", "faccessat2", "memfd_create", "close_range"]
    calls = ";".join(f"l.syscall({number[name]}, -1, 0, 0)" for name in names)
    script = f"import ctypes; l = ctypes.CDLL(None); {calls}"
    strace = ["strace", "-e", f"trace={','.join(names)}", "/usr/bin/python3", "-ISc", script]
    done = subprocess.run(strace, capture_output=True, text=True)
    if done.returncode == 127:
        pytest.skip("no strace")
    seen = re.findall(r"^(\w+)\(", done.stderr, re.MULTILINE)
    assert seen[-len(names) :] == names


REFUSED = (
    "mount umount2 unshare setns pivot_root bpf keyctl add_key request_key userfaultfd reboot "
    "init_module finit_module delete_module kexec_load swapon swapoff acct settimeofday "
    "clock_settime iopl ioperm perf_event_open quotactl open_by_handle_at syslog io_uring_setup "
    "move_mount fsopen open_tree pidfd_getfd kcmp mbind nfsservctl vhangup"
)
ALLOWED = (
    "read execve execveat fork vfork mmap socketpair prctl capset setuid chroot ptrace seccomp "
    "close_range recvfrom sendmsg openat2 statx futex clock_gettime mknod"
)


@pytest.mark.parametrize("name", REFUSED.split())
def test_refused(name: str) -> None:
    assert default(name) == EPERM


@pytest.mark.parametrize("name", ALLOWED.split())
def test_allowed(name: str) -> None:
    assert default(name) == ALLOW


def test_allowed_with_some_arguments_only() -> None:
    assert default("clone", 0x11) == ALLOW  # SIGCHLD: a fork
    assert default("clone", 0x3D0F00) == ALLOW  # a thread
    for flag in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 1 << 30):
        assert default("clone", flag | 0x11) == EPERM
    assert default("clone3") == ENOSYS
    families = {family for family in range(100) if default("socket", family) == ALLOW}
    assert families == set(range(46)) - {38, 40}  # AF_ALG, AF_VSOCK
    # The kernel looks at 32 bits of it, so a bit above must not lead past the filter
    assert default("socket", 38 | 1 << 32) == EPERM
    assert default("socket", 39 | 1 << 32) == EPERM
    assert default("personality", 0) == ALLOW and default("personality", 0x40000) == EPERM


def test_what_comes_with_a_capability() -> None:
    admin = DEFAULT | {"CAP_SYS_ADMIN"}
    for name in ("mount", "unshare", "setns", "clone3", "bpf"):
        assert default(name, capabilities=admin) == ALLOW
    assert default("clone", 0x10000000, capabilities=admin) == ALLOW
    assert default("chroot", capabilities=frozenset()) == EPERM
    assert default("kexec_load", capabilities=frozenset(NAMES)) == EPERM


def test_what_is_younger_than_the_list_does_not_exist() -> None:
    program = bpf.compiled(default_profile(DEFAULT), "x86_64")
    assert answer(program, 999, (), ARCHITECTURES["x86_64"]) == ENOSYS
    assert answer(program, 0x40000001, (), ARCHITECTURES["x86_64"]) == ENOSYS  # x32's write


# ---------------------------------------------------------------- profiles in JSON

PLACE = Surroundings(DEFAULT, "x86_64", (6, 1))


def profile_of(*entries: dict[str, Any], **more: Any) -> Profile:
    told = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": list(entries), **more}
    return parse(json.dumps(told), PLACE)


def rule(*names: str, action: str = "SCMP_ACT_ALLOW", **more: Any) -> dict[str, Any]:
    return {"names": list(names), "action": action, **more}


@pytest.mark.parametrize(
    ("filters", "holds"),
    [
        ({}, True),
        ({"includes": {"caps": ["CAP_CHOWN"]}}, True),
        ({"includes": {"caps": ["CAP_SYS_ADMIN"]}}, False),
        ({"includes": {"caps": ["CAP_CHOWN", "CAP_SYS_ADMIN"]}}, False),
        ({"excludes": {"caps": ["CAP_CHOWN"]}}, False),
        ({"excludes": {"caps": ["CAP_SYS_ADMIN"]}}, True),
        ({"includes": {"arches": ["amd64", "x32"]}}, True),
        ({"includes": {"arches": ["arm64"]}}, False),
        ({"excludes": {"arches": ["amd64"]}}, False),
        ({"includes": {"minKernel": "4.8"}}, True),
        ({"includes": {"minKernel": "6.10"}}, False),
        ({"excludes": {"minKernel": "6.1"}}, False),
    ],
)
def test_includes_and_excludes(filters: dict[str, Any], holds: bool) -> None:
    assert bool(profile_of(rule("mkdir", **filters)).rules) == holds


def test_errnos_and_older_ways_to_write_it() -> None:
    profile = profile_of(
        rule("mkdir", action="SCMP_ACT_ERRNO", errnoRet=95),
        {"name": "rmdir", "action": "SCMP_ACT_ALLOW"},
        defaultErrnoRet=38,
    )
    assert profile.default == ENOSYS
    assert [(r.names, r.action) for r in profile.rules] == [
        (("mkdir",), ERRNO | 95), (("rmdir",), ALLOW)
    ]  # fmt: skip


def test_two_conditions_on_one_argument_are_alternatives() -> None:
    """As in runc, and so in every profile that was written for it."""
    equal = [{"index": 0, "op": "SCMP_CMP_EQ", "value": value} for value in (3, 5)]
    program = bpf.compiled(profile_of(rule("socket", args=equal)), "x86_64")
    number = numbers("x86_64")["socket"]
    found = [answer(program, number, (f,), ARCHITECTURES["x86_64"]) == ALLOW for f in range(7)]
    assert [family for family, allowed in enumerate(found) if allowed] == [3, 5]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[]", "not a profile"),
        ("{}", "unknown action"),
        ('{"defaultAction": "SCMP_ACT_NOTIFY"}', "not supported"),
        ('{"defaultAction": "SCMP_ACT_MAYBE"}', "unknown action"),
        ('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["x"]}]}', "unknown action"),
        ('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [7]}', "not an object"),
        (
            '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["x"], "action": '
            '"SCMP_ACT_ERRNO", "args": [{"index": 6, "op": "SCMP_CMP_EQ", "value": 1}]}]}',
            "arguments 0 to 5",
        ),
        (
            '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["x"], "action": '
            '"SCMP_ACT_ERRNO", "args": [{"index": 1, "op": "SCMP_CMP_SO", "value": 1}]}]}',
            "unknown",
        ),
    ],
)
def test_wrong_profiles(text: str, said: str) -> None:
    with pytest.raises(Failure, match=said) as failure:
        parse(text, PLACE)
    assert len(str(failure.value).splitlines()) == 1


# ---------------------------------------------------------------- in containers

root = pytest.mark.root


@pytest.fixture(autouse=True)
def image(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("root"):
        need_image(request.getfixturevalue("mydocker"))


RUN = ("run", "--rm", "--net", "none")

CALLS = """
machine = os.uname().machine
numbers = {
    "x86_64": dict(mount=165, unshare=272, setns=308, keyctl=250, bpf=321, clone3=435, reboot=169,
                   io_uring_setup=425, personality=135, socket=41),
    "aarch64": dict(mount=40, unshare=97, setns=268, keyctl=219, bpf=280, clone3=435, reboot=142,
                    io_uring_setup=425, personality=92, socket=198),
}[machine]
tmpfs = buffer(b"tmpfs")
print("mount", call(numbers["mount"], tmpfs, buffer(b"/tmp"), tmpfs, 0, 0))
print("unshare", call(numbers["unshare"], 0x10000000))
print("setns", call(numbers["setns"], 0, 0))
print("keyctl", call(numbers["keyctl"], 0, -3, 0))
print("bpf", call(numbers["bpf"], 0, 0, 0))
print("reboot", call(numbers["reboot"], 0, 0, 0, 0))
print("io_uring_setup", call(numbers["io_uring_setup"], 1, 0))
print("personality", call(numbers["personality"], 0x0040000))
print("vsock", call(numbers["socket"], 40, 1, 0))
print("alg", call(numbers["socket"], 38, 5, 0))
print("clone3", call(numbers["clone3"], 0, 0))
print("future", call(999))
"""


@root
def test_refused_in_a_container_whatever_its_capabilities(mydocker: Launcher) -> None:
    """With seven capabilities too many, so that it is the filter which says no."""
    more = ["--cap-add", "SYS_RAWIO", "--cap-add", "SYS_PTRACE", "--cap-add", "NET_ADMIN"]
    done = mydocker(5, *RUN, *more, *PYTHON, "busybox", *python(CALLS))
    answers = dict(line.split() for line in done.stdout.splitlines())
    assert answers.pop("clone3") == "ENOSYS" and answers.pop("future") == "ENOSYS"
    assert len(answers) == 10 and set(answers.values()) == {"EPERM"}, answers


@root
def test_user_namespaces_are_no_way_round_it(mydocker: Launcher) -> None:
    """A user namespace of one's own is where an unprivileged user gets at the kernel's mount code,
    and no capability is needed for it: the filter alone is in the way."""
    script = "unshare --user true && echo got one"
    refused = mydocker(5, *RUN, "-u", "7", "busybox", "sh", "-c", script, code=1)
    assert "Operation not permitted" in refused.stderr
    options = ["-u", "7", "--security-opt", "seccomp=unconfined"]
    done = mydocker(5, *RUN, *options, "busybox", "sh", "-c", script, code=None)
    assert "got one" in done.stdout or "permitted" in done.stderr  # some machines forbid it to all


@root
def test_threads_and_processes_work(mydocker: Launcher) -> None:
    script = """
import threading, subprocess
thread = threading.Thread(target=print, args=("thread",)); thread.start(); thread.join()
print(subprocess.run(["/bin/busybox", "echo", "process"], capture_output=True).stdout.decode())
"""
    done = mydocker(5, *RUN, *PYTHON, "busybox", *python(script))
    assert done.stdout.split() == ["thread", "process"]


@root
@pytest.mark.skipif(HERE != "x86_64", reason="another machine's code")
def test_calls_by_the_32_bit_door_are_killed(mydocker: Launcher) -> None:
    script = """
import mmap
page = mmap.mmap(-1, 4096, prot=7)
page.write(bytes.fromhex("b814000000" "cd80" "c3"))  # mov eax, 20 (getpid); int 0x80; ret
ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
print("answered")
"""
    done = mydocker(5, *RUN, *PYTHON, "busybox", *python(script), code=None)
    assert done.returncode == 128 + 31 and "answered" not in done.stdout


@root
@pytest.mark.parametrize(
    ("options", "mode"),
    [([], "2"), (["--init"], "2"), (["-t"], "2"), (["-u", "9"], "2"),
     (["--userns", "private"], "2"),
     (["--security-opt", "seccomp=unconfined"], "0"), (["--privileged"], "0"),
     (["--security-opt", "seccomp=builtin"], "2"), (["--cap-drop", "ALL"], "2"),
     (["--read-only", "-w", "/tmp"], "2")],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_every_container_has_it(mydocker: Launcher, options: list[str], mode: str) -> None:
    done = mydocker(5, *RUN, *options, "busybox", "cat", "/proc/self/status")
    assert status(done.stdout)["Seccomp"] == mode


@root
def test_a_profile_of_ones_own(mydocker: Launcher, tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    refused = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 122}
    path.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [refused]}))
    option = ["--security-opt", f"seccomp={path}"]
    failed = mydocker(5, *RUN, *option, "busybox", "mkdir", "/tmp/x", code=1)
    assert "uota exceeded" in failed.stderr
    mydocker(5, *RUN, *option, "busybox", "touch", "/tmp/x")


@root
def test_a_list_of_what_is_allowed(mydocker: Launcher, tmp_path: Path) -> None:
    """Ours without links, as a file: what it allows is enough for us to get to the command."""
    always = default_profile(DEFAULT).rules[0].names
    names = [name for name in always if "symlink" not in name] + ["clone"]
    path = tmp_path / "profile.json"
    rules = [{"names": names, "action": "SCMP_ACT_ALLOW"}]
    path.write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}))
    option = ["--security-opt", f"seccomp={path}"]
    mydocker(5, *RUN, *option, "busybox", "true")
    failed = mydocker(5, *RUN, *option, "busybox", "ln", "-s", "a", "/tmp/b", code=1)
    assert "not permitted" in failed.stderr


@root
def test_a_file_that_is_no_profile_is_named_and_not_shown(
    mydocker: Launcher, tmp_path: Path
) -> None:
    path = tmp_path / "profile.json"
    option = ["--security-opt", f"seccomp={path}"]
    path.write_text("a secret\n")
    failed = mydocker(5, *RUN, *option, "busybox", "true", code=125)
    assert f"seccomp={path}: not a JSON object" in failed.stderr
    assert "secret" not in failed.stderr
    rules = [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]
    told = json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules})
    path.write_text(f"\n  {told}\n")
    done = mydocker(5, *RUN, *option, "busybox", "mkdir", "/x", code=1)
    assert "Operation not permitted" in done.stderr


@root
def test_a_list_that_stops_us_is_one_clear_line(mydocker: Launcher, tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    rules = [{"names": ["read", "write", "exit_group"], "action": "SCMP_ACT_ALLOW"}]
    path.write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}))
    option = ["--security-opt", f"seccomp={path}"]
    failed = mydocker(5, *RUN, *option, "busybox", "true", code=125)
    assert "does not allow" in failed.stderr and "execve" in failed.stderr
    assert len(failed.stderr.splitlines()) == 1


@root
@pytest.mark.parametrize("text", ["seccomp=/nonesuch", "seccomp=", "apparmor=x", "nonsense"])
def test_wrong_options(mydocker: Launcher, text: str) -> None:
    failed = mydocker(5, *RUN, "--security-opt", text, "busybox", "true", code=None)
    assert failed.returncode == 125 and len(failed.stderr.splitlines()) == 1
    assert "--security-opt" in failed.stderr

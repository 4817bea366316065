"""Ways out of a container that others' runtimes have had, tried on ours.

Each test fails without its defence. What a defence keeps from harm is never the machine's own: what
an attack may write to says already what it would write, or is a file of the test.
"""

import ctypes
import json
import os
import platform
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sandbox.inside import PYTHON, need_image, python
from sandbox.launcher import Launcher
from sandbox.patience import patience

from mydocker.kernel import syscalls

pytestmark = pytest.mark.root


@pytest.fixture(autouse=True)
def image(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("root"):
        need_image(request.getfixturevalue("mydocker"))


RUN = ("run", "--rm", "--net", "none")
UNCONFINED = ("--security-opt", "seccomp=unconfined")


@contextmanager
def running(mydocker: Launcher, *options: str, command: tuple[str, ...] = ()) -> Iterator[str]:
    """A detached container's name."""
    name = f"escape-{uuid.uuid4().hex[:8]}"
    words = command or ("busybox", "sleep", "120")
    mydocker(5, "run", "-d", "--name", name, "--net", "none", *options, *words)
    try:
        yield name
    finally:
        mydocker(5, "rm", "-f", name)


# ---------------------------------------------------------------- CVE-2024-21626: open descriptors


@pytest.fixture
def left_open(tmp_path: Path) -> Iterator[int]:
    """A directory of the host that the caller of mydocker has open, as a shell may have."""
    (tmp_path / "secret").write_text("of the host")
    opened = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    fd = os.dup2(opened, 77, inheritable=True)
    os.close(opened)
    yield fd
    os.close(fd)


LIST = ("busybox", "sh", "-c", "ls /proc/self/fd; echo and; ls /proc/1/fd; true")


@pytest.mark.parametrize("options", [[], ["--init"], ["-t"]], ids=" ".join)
def test_the_command_has_three_descriptors(
    mydocker: Launcher, left_open: int, options: list[str]
) -> None:
    done = mydocker(5, *RUN, *options, *LIST, pass_fds=[left_open])
    own, first = done.stdout.split("and")
    assert own.split() == ["0", "1", "2", "3"], "3 is what ls itself reads"
    assert first.split() in (["0", "1", "2"], ["0", "1", "10", "2"]), "10 is a shell's terminal"


def test_a_command_of_exec_has_three_descriptors(mydocker: Launcher, left_open: int) -> None:
    with running(mydocker) as name:
        done = mydocker(5, "exec", name, "ls", "/proc/self/fd", pass_fds=[left_open])
        assert set(done.stdout.split()) == {"0", "1", "2", "3"}
        mydocker(5, "exec", "-d", name, "sleep", "99", pass_fds=[left_open])
        done = mydocker(5, "exec", name, "sh", "-c", "ls /proc/$(pidof sleep | cut -d' ' -f1)/fd")
        assert set(done.stdout.split()) <= {"0", "1", "2"}


@pytest.mark.parametrize("number", [*range(3, 18), 77])
def test_no_working_directory_outside(
    mydocker: Launcher, left_open: int, number: int, tmp_path: Path
) -> None:
    """Whatever is open at that number, the container's side never starts a command there."""
    where = f"/proc/self/fd/{number}"
    command = ["busybox", "sh", "-c", "ls; ls ../../../../../../.."]
    failed = mydocker(5, *RUN, "-w", where, *command, pass_fds=[left_open], code=None)
    assert failed.returncode == 125 and failed.stdout == ""
    assert len(failed.stderr.splitlines()) == 1


@pytest.mark.parametrize("step", [3, 5])
def test_no_directory_is_made_outside(
    mydocker: Launcher, left_open: int, tmp_path: Path, step: int
) -> None:
    """Step 3 too, where the container's side has all that the caller had open."""
    for where in (f"/proc/self/fd/{left_open}/made", f"/proc/self/fd/{left_open}"):
        command = ["run", "-w", where, "busybox", "cat", "secret"]
        failed = mydocker(step, *command, pass_fds=[left_open], code=125)
        assert failed.stdout == "" and len(failed.stderr.splitlines()) == 1
    assert os.listdir(tmp_path) == ["secret"]
    if step == 5:  # as with Docker, a container that could not be started is kept
        mydocker(5, "container", "prune", "-f")


def test_no_working_directory_outside_for_exec(
    mydocker: Launcher, left_open: int, tmp_path: Path
) -> None:
    with running(mydocker) as name:
        inside = set(mydocker(5, "exec", name, "ls", "/").stdout.split())
        for number in (*range(3, 16), left_open):
            where = f"/proc/self/fd/{number}"
            script = "ls; ls ..; ls ../../../../../../.."
            done = mydocker(
                5, "exec", "-w", where, name, "sh", "-c", script, pass_fds=[left_open], code=None
            )
            # The container's own root is among our descriptors, and no way out
            assert set(done.stdout.split()) <= inside and "secret" not in done.stdout


def test_a_link_of_the_image_to_a_descriptor_is_no_way_either(
    mydocker: Launcher, left_open: int
) -> None:
    with running(mydocker) as name:
        mydocker(5, "exec", name, "ln", "-s", f"/proc/self/fd/{left_open}", "/way")
        failed = mydocker(
            5, "exec", "-w", "/way", name, "cat", "secret", pass_fds=[left_open], code=None
        )
        assert failed.returncode != 0 and "of the host" not in failed.stdout


# ---------------------------------------------------------------- CVE-2019-5736: our own program


SELF = "#!/proc/self/exe\nprint('this is the Python of the host')\n"


def test_our_own_program_is_no_command(mydocker: Launcher) -> None:
    options = [*RUN, *PYTHON, "busybox"]
    failed = mydocker(5, *options, "/proc/self/exe", "-c", "print('Python')", code=126)
    assert failed.stdout == "" and "link of /proc" in failed.stderr


def test_our_own_program_is_no_interpreter(mydocker: Launcher, tmp_path: Path) -> None:
    """The script's first line is read by the kernel, when no check of ours can help any more."""
    script = tmp_path / "script"
    script.write_text(SELF)
    script.chmod(0o755)
    options = [*PYTHON, "-v", f"{script}:/script:ro"]
    done = mydocker(5, *RUN, *options, "busybox", "/script", code=None)
    assert "Python of the host" not in done.stdout and done.returncode != 0
    with running(mydocker, *options) as name:
        done = mydocker(5, "exec", name, "/script", code=None)
        assert "Python of the host" not in done.stdout and done.returncode != 0


def test_the_commands_own_program_is_its_own(mydocker: Launcher) -> None:
    done = mydocker(5, *RUN, *PYTHON, "busybox", "readlink", "/proc/self/exe")
    assert done.stdout.strip() == "/usr/bin/readlink"


@pytest.mark.parametrize("file", ["exe", "fd/0", "fd/3", "cwd", "root", "mem", "environ", "maps"])
def test_our_reaper_cannot_be_looked_into(mydocker: Launcher, file: str) -> None:
    """PID 1 of --init is Python, started from the host's file, as long as the container runs."""
    script = f"""
try:
    os.open("/proc/1/{file}", os.O_RDONLY)
    print("opened")
except OSError as error:
    print(errno.errorcode[error.errno])
"""
    done = mydocker(5, *RUN, "--init", *PYTHON, "busybox", *python(script))
    assert done.stdout.strip() in ("EACCES", "EPERM", "ENOENT")
    if file != "fd/3":
        assert done.stdout.strip() != "ENOENT"


def test_our_reaper_cannot_be_traced(mydocker: Launcher) -> None:
    script = """
numbers = {"x86_64": (101, 310), "aarch64": (117, 270)}[os.uname().machine]
print(call(numbers[0], 16, 1, 0, 0))  # ptrace(PTRACE_ATTACH, 1)
local, remote = buffer(b"x" * 16), (ctypes.c_ulong * 2)(0x400000, 8)
vector = (ctypes.c_ulong * 2)(local, 8)
print(call(numbers[1], 1, ctypes.addressof(vector), 1, ctypes.addressof(remote), 1, 0))
"""
    done = mydocker(5, *RUN, "--init", *UNCONFINED, *PYTHON, "busybox", *python(script))
    assert done.stdout.split() == ["EPERM", "EPERM"]


# Looks at every process that is not its own child, again and again: opens what it can.
SPY = """
own = os.getpid()
seen, opened = set(), []
print("ready", flush=True)
while not os.path.exists("/stop"):
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) in (1, own):
            continue
        seen.add(name)
        for file in ("exe", "fd/3", "fd/4", "fd/5", "fd/6", "mem"):
            try:
                os.close(os.open(f"/proc/{name}/{file}", os.O_RDONLY | os.O_NONBLOCK))
                with open(f"/proc/{name}/comm") as comm:
                    if comm.read().startswith("python"):  # still: so it was ours that we opened
                        opened.append(file)
            except OSError:
                pass
print("seen", len(seen), "opened", sorted(set(opened)), flush=True)
"""


def test_our_process_cannot_be_caught_on_its_way_in(mydocker: Launcher) -> None:
    """exec: between setns(2) and execve(2) our process is visible inside, and still Python."""
    with running(mydocker, *PYTHON, command=("busybox", *python(SPY))) as name:
        for _ in range(8):
            mydocker(5, "exec", name, "true")
        mydocker(5, "exec", name, "touch", "/stop")
        mydocker(5, "wait", name)
        said = mydocker(5, "logs", name).stdout
    assert "ready" in said and int(said.split("seen ")[1].split()[0]) >= 1
    assert said.split("opened ")[1].strip() == "[]"


# ---------------------------------------------------------------- CVE-2021-30465: links in the way


def exchange(first: Path, second: Path) -> None:
    """renameat2(2) with RENAME_EXCHANGE: each name is what the other was, in one moment."""
    number = {"x86_64": 316, "aarch64": 276}[platform.machine()]
    libc = ctypes.CDLL(None, use_errno=True)
    arguments = (-100, os.fsencode(first), -100, os.fsencode(second), 2)
    libc.syscall(number, *arguments)


def test_a_mount_point_that_is_a_link_at_the_wrong_moment(
    mydocker: Launcher, tmp_path: Path
) -> None:
    """Another container shares the volume and exchanges, all the time, a directory in it for a link
    to the host: what is mounted "on the directory" must never come to lie outside."""
    shared, data, victim = tmp_path / "shared", tmp_path / "data", tmp_path / "victim"
    for directory in (shared / "a", data, victim):
        directory.mkdir(parents=True)
    (shared / "b").symlink_to("../" * 30 + str(victim).lstrip("/"))
    (data / "mounted").touch()
    end = threading.Event()

    def swap() -> None:
        while not end.is_set():
            exchange(shared / "a", shared / "b")

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        for _ in range(12):
            options = ["-v", f"{shared}:/shared", "-v", f"{data}:/shared/a/deep"]
            script = f"ls {victim} 2>/dev/null; ls /shared/a/deep /shared/b/deep 2>/dev/null"
            done = mydocker(5, *RUN, *options, "busybox", "sh", "-c", script, code=None)
            assert done.returncode in (0, 1, 125)
    finally:
        end.set()
        swapper.join()
    assert list(victim.iterdir()) == [], "a directory was made outside of the container"


# ---------------------------------------------------------------- the machine's switches


@pytest.mark.parametrize(
    "script",
    [
        "echo h >/proc/sysrq-trigger",  # prints a help text, if it works
        "cat /proc/sys/kernel/core_pattern >/proc/sys/kernel/core_pattern",
        "cat /proc/sys/kernel/modprobe >/proc/sys/kernel/modprobe",
        "cat /proc/sys/vm/swappiness >/proc/sys/vm/swappiness",
        "echo >/sys/kernel/uevent_helper",
        "cat /sys/kernel/mm/transparent_hugepage/defrag >/sys/kernel/x",
        "mount -o remount,rw /proc/sys",
        "mount -o remount,rw /sys",
        "umount /proc/sys",
        "umount /proc/kcore",
        "mount -t proc proc /tmp",
        "mount -t sysfs sys /tmp",
        "mount -t cgroup2 cgroup /tmp",
        "mount --bind /proc/sys /tmp",
    ],
)
def test_no_writing_to_the_machine(mydocker: Launcher, script: str) -> None:
    """Without the filter: root, with a shell's means, against mounts and capabilities alone."""
    done = mydocker(
        5, *RUN, *UNCONFINED, "busybox", "sh", "-c", f"{script} && echo done", code=None
    )
    assert "done" not in done.stdout and done.returncode != 0


@pytest.mark.parametrize("name", ["kcore", "keys", "timer_list", "sched_debug", "acpi", "scsi"])
def test_what_tells_of_the_machine_is_empty(mydocker: Launcher, name: str) -> None:
    script = f"test -e /proc/{name} || exit 0; cat /proc/{name} 2>/dev/null; ls -A /proc/{name}"
    done = mydocker(5, *RUN, *UNCONFINED, "busybox", "sh", "-c", script, code=None)
    assert done.stdout.replace(f"/proc/{name}", "").strip() == ""


def test_no_memory_and_no_disk(mydocker: Launcher) -> None:
    """Nodes can be made, as in Docker, and opened only if the control group knows the device."""
    script = """
for node in "c 1 1 mem" "c 1 4 port" "c 1 11 kmsg" "c 10 229 fuse" "b 7 0 loop" "b 8 0 sda"; do
    set -- $node
    mknod /tmp/$4 $1 $2 $3 && { head -c 0 /tmp/$4 2>&1 && echo opened; } | sed 's/.*: //'
done"""
    options = [*UNCONFINED, "--cap-add", "SYS_RAWIO", "--cap-add", "SYSLOG"]
    done = mydocker(5, *RUN, *options, "busybox", "sh", "-c", script)
    assert set(done.stdout.splitlines()) == {"Operation not permitted"}


# ---------------------------------------------------------------- namespaces, traces, keys


def test_no_other_containers_namespaces(mydocker: Launcher) -> None:
    """Even with all namespaces in reach: another container's are bound where this one sees them."""
    with running(mydocker) as other:
        pid = mydocker(5, "inspect", "-f", "{{.State.Pid}}", other).stdout.strip()
        script = """
number = {"x86_64": 308, "aarch64": 268}[os.uname().machine]
for kind in ("uts", "net", "ipc", "mnt", "pid"):
    print(call(number, os.open(f"/other/{kind}", os.O_RDONLY), 0))
"""
        bound = ["-v", f"/proc/{pid}/ns:/other"]
        for options, answers in (
            ([], {"EPERM"}),
            (list(UNCONFINED), {"EPERM"}),
        ):
            command = ["busybox", *python(script)]
            done = mydocker(5, *RUN, *bound, *options, *PYTHON, *command, code=None)
            assert set(done.stdout.split()) == answers, done.stderr


def test_the_hosts_processes_are_out_of_sight(mydocker: Launcher) -> None:
    script = f"ls -d /proc/[0-9]*; kill -0 {os.getpid()} 2>&1; ls /proc/{os.getpid()}/root 2>&1"
    done = mydocker(5, *RUN, "busybox", "sh", "-c", script, code=None)
    assert {line for line in done.stdout.splitlines() if line.startswith("/proc/")} <= {
        "/proc/1", "/proc/2"
    }  # fmt: skip
    assert "No such process" in done.stdout + done.stderr


def test_the_callers_keys_stay_with_the_caller(mydocker: Launcher) -> None:
    """A session keyring is inherited by every child, whatever namespaces it is in (keyrings(7))."""
    add_key = {"x86_64": 248, "aarch64": 217}[platform.machine()]
    libc, description = ctypes.CDLL(None, use_errno=True), f"secret-{uuid.uuid4().hex}".encode()
    script = f"""
keyctl = {{"x86_64": 250, "aarch64": 219}}[os.uname().machine]
kind, description = buffer(b"user"), buffer({description!r})
print("found" if call(keyctl, 10, -3, kind, description, 0) == "ok" else "nothing")
"""

    def ours() -> None:  # in the child that becomes mydocker: a keyring, and a key in it
        syscalls.join_session_keyring(f"test-{uuid.uuid4().hex}")
        if libc.syscall(add_key, b"user", description, b"password", 8, -3) == -1:
            os._exit(99)

    argv = mydocker.argv(5, *RUN, *UNCONFINED, *PYTHON, "busybox", *python(script))
    environment = mydocker.environment()
    control = [argv[0], "-ISc", python(script)[-1]]
    found = subprocess.run(control, preexec_fn=ours, capture_output=True, text=True)
    if found.returncode == 99 or "found" not in found.stdout:
        pytest.skip(f"this machine lets us have no keys: {found.stderr}")
    done = subprocess.run(argv, preexec_fn=ours, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == "nothing", done.stderr


def test_a_keyring_of_its_own(mydocker: Launcher) -> None:
    """Two containers, one user: neither finds what the other put into its session keyring."""
    script = """
add, keyctl = {"x86_64": (248, 250), "aarch64": (217, 219)}[os.uname().machine]
kind, name = buffer(b"user"), buffer(b"mydocker-test-key")
print("found" if call(keyctl, 10, -3, kind, name, 0) == "ok" else "nothing",
      call(add, kind, name, buffer(b"x"), 1, -3))
"""
    command = [*UNCONFINED, *PYTHON, "busybox", *python(script)]
    first, second = mydocker(5, *RUN, *command), mydocker(5, *RUN, *command)
    assert first.stdout.split()[0] == second.stdout.split()[0] == "nothing"


# ---------------------------------------------------------------- the caller's terminal


PUSH = """
import fcntl
for name, request, argument in (
    ("push", 0x5412, b"!"), ("take", 0x540E, 1), ("push", 0x5412, b"!")  # TIOCSTI, TIOCSCTTY
):
    try:
        fcntl.ioctl(0, request, argument)
        print(name, "worked", flush=True)
    except OSError as error:
        print(name, errno.errorcode[error.errno], flush=True)
print("end", flush=True)
"""


@pytest.mark.parametrize("command", ["run", "exec"])
def test_nothing_is_typed_into_the_callers_terminal(mydocker: Launcher, command: str) -> None:
    """Without -t the caller's terminal may be the command's input: it must not write *into* it."""
    import pexpect

    with running(mydocker, *PYTHON, command=("busybox", "sleep", "120")) as name:
        if command == "exec":
            argv = mydocker.argv(5, "exec", "-i", name, *python(PUSH))
        else:
            argv = mydocker.argv(5, *RUN, "-i", *PYTHON, "busybox", *python(PUSH))
        child = pexpect.spawn(argv[0], argv[1:], timeout=patience(30), encoding="utf-8")
        child.expect_exact("end\r\n")
        said = child.before or ""
        child.close()
    answers = [line.split()[1] for line in said.splitlines() if line.startswith(("push", "take"))]
    assert len(answers) == 3 and set(answers) <= {"EPERM", "ENOTTY", "EIO"}, said


# ---------------------------------------------------------------- the last step into the command


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("/nonesuch", 127, "no such file or directory"),
        ("nonesuch", 127, "not found in $PATH"),
        ("/etc", 126, "It is a directory"),
        ("/etc/passwd", 126, "x permission is missing"),
        ("/tmp/no-interpreter", 127, "not the interpreter"),
        ("/tmp/no-program", 126, "Not a program of this machine's kind"),
        ("/tmp/no-program/below", 126, "not a directory"),
    ],
)
def test_what_cannot_be_executed(
    mydocker: Launcher, tmp_path: Path, command: str, code: int, said: str
) -> None:
    """The tiny program in memory makes the exec, and its refusal still arrives as what it is."""
    (tmp_path / "no-interpreter").write_text("#!/nowhere\n")
    (tmp_path / "no-program").write_text("just text")
    for path in tmp_path.iterdir():
        path.chmod(0o755)
    for options in ([], ["--init"]):
        failed = mydocker(
            5, *RUN, *options, "-v", f"{tmp_path}:/tmp", "busybox", command, code=code
        )
        assert said in failed.stderr and len(failed.stderr.splitlines()) == 1


def test_arguments_variables_and_name_arrive(mydocker: Launcher) -> None:
    options = ["-e", "A=b c", "-e", "EMPTY="]
    script = 'printf "%s|" "$0" "$@" "$A" "${EMPTY-unset}"; tr "\\0" "|" </proc/self/cmdline'
    done = mydocker(5, *RUN, *options, "busybox", "sh", "-c", script, "name", "", "ä ö", "*")
    assert done.stdout.startswith("name||ä ö|*|b c||")
    many = [str(number) for number in range(5000)]
    done = mydocker(5, *RUN, "busybox", "sh", "-c", "echo $#", "sh", *many)
    assert done.stdout.strip() == "5000"


@pytest.mark.parametrize("refused", [["memfd_create", "execveat"], ["uname"], ["dup2", "dup3"]])
def test_without_executable_memory_it_works_too(
    mydocker: Launcher, tmp_path: Path, refused: list[str]
) -> None:
    """The profile refuses what it takes: then Python itself executes the command."""
    profile = tmp_path / "profile.json"
    rule = {"names": refused, "action": "SCMP_ACT_ERRNO"}
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))
    option = ["--security-opt", f"seccomp={profile}"]
    found = mydocker(5, *RUN, *option, *LIST).stdout.split()
    assert found == ["0", "1", "2", "3", "and", "0", "1", "2"]
    mydocker(5, *RUN, *option, "busybox", "/nonesuch", code=127)

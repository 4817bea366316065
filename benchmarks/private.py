"""A private place to measure in, which leaves nothing behind, however the work in it ends.

Whatever is started there lives in a PID namespace of its own: when the first process of it ends,
the kernel kills the others, monitors, shims and daemons. Mounts and links go with their namespaces.
Control groups have no such end: all tools make theirs below one that has the place's name, so that
what is removed afterwards is nobody else's.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "steps"))
from layers import stack as stack_layers  # noqa: E402

stack_layers(3)

import click  # noqa: E402

from mydocker.kernel import loopback, syscalls  # noqa: E402
from mydocker.kernel.errors import KernelError  # noqa: E402
from mydocker.kernel.errors import place as where  # noqa: E402

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TREE = Path("/sys/fs/cgroup")
_PATIENCE = 10.0  # seconds that the kernel may take to empty a group whose processes were killed


def in_private_place(work: Callable[[Path], None]) -> NoReturn:
    """Do ``work`` in a private place, in a directory of it, remove all of it, and end.

    What fails, and what cannot be removed, is one line.
    """
    place = Path(tempfile.mkdtemp(prefix="mydocker-benchmark-", dir="/var/tmp"))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        code = _inside(work, place)
    except KernelError as error:
        code = _tell(f"no place to measure in: {error}")
    left = remove_groups(place.name)
    # Here, outside: the mounts that a tool left inside are gone with their namespace.
    subprocess.run(["rm", "-rf", "--one-file-system", str(place)])
    for line in left:
        code = _tell(f"left behind: {line}")
    raise SystemExit(code)


def _tell(line: str) -> int:
    print(line, file=sys.stderr)
    return 1


def _inside(work: Callable[[Path], None], place: Path) -> int:
    """The exit code of ``work``. When this returns, all that it started has ended."""
    flags = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWNET | syscalls.CLONE_NEWPID
    first, _ = syscalls.clone3(flags)
    if first == 0:
        _be_first(work, place)
    try:
        return os.waitstatus_to_exitcode(os.waitpid(first, 0)[1])
    except KeyboardInterrupt:
        os.kill(first, signal.SIGKILL)  # and with it the others
        os.waitpid(first, 0)
        return 130


def _be_first(work: Callable[[Path], None], place: Path) -> NoReturn:
    """As the first process of the PID namespace: wait for all who lose their parent in it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who waits outside decides
    code = 1
    try:
        syscalls.mount("none", "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
        syscalls.mount("proc", "/proc", "proc")
        syscalls.mount("tmpfs", "/run", "tmpfs", 0, "mode=755")  # no socket of a tool outside
        loopback.set_up("lo")
        worker = os.fork()
        if worker == 0:
            code = _do(work, place)
        else:
            while (ended := os.wait())[0] != worker:
                pass
            code = os.waitstatus_to_exitcode(ended[1])
    except OSError as error:
        _tell(f"no place to measure in: {error}")
    finally:
        os._exit(code & 0xFF)


def _do(work: Callable[[Path], None], place: Path) -> int:
    """The exit code of ``work``; what it fails of is told."""
    environment = _environment(place)
    os.environ.clear()
    os.environ.update(environment)
    try:
        work(place)
        sys.stdout.flush()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else _tell(str(end.code or ""))
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip().splitlines()[-1:] if error.stderr else []
        command = " ".join(map(str, error.cmd))
        return _tell(" ".join([f"{command}: exit code {error.returncode}", *said]))
    except Exception as error:
        return _tell(f"{type(error).__name__}: {error} ({where(error)})")
    return 0


def _environment(place: Path) -> dict[str, str]:
    """Our variables without those of Python and of other containers' tools; data in the place."""
    others = ("PYTHON", "DOCKER", "MYDOCKER")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    packages = {"MYDOCKER_VENV": str(Path(click.__file__).parents[4])}  # for copies and checkouts
    own = {"MYDOCKER_ROOT": f"{place}/root", "MYDOCKER_RUN": f"{place}/run"}
    return kept | {"PATH": PATH} | packages | own | {"MYDOCKER_CGROUP_PARENT": f"/{place.name}"}


def remove_groups(name: str) -> list[str]:
    """Remove the groups ``name`` of all hierarchies, and those in them; a line for each that stays.

    The kernel lets go of a group some time after its last process was killed: that is waited for.
    """
    end = time.monotonic() + _PATIENCE
    while left := [line for form in (name, f"*/{name}") for line in _remove(_TREE.glob(form))]:
        if time.monotonic() > end:
            break
        time.sleep(0.05)
    return left


def _remove(groups: Iterable[Path]) -> list[str]:
    left = []
    for top in groups:
        for directory, _, _ in os.walk(top, topdown=False):
            try:
                os.rmdir(directory)
            except FileNotFoundError:
                pass
            except OSError as error:
                left.append(f"{directory}: {error.strerror}")
    return left


def took(command: list[str], settings: dict[str, str]) -> tuple[float, float]:
    """``(processor, passed)`` of one command, in milliseconds (wait4(2)).

    Its own processor time: what it leaves beside a container is not waited for.
    """
    actions = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1)]
    begin = time.perf_counter()
    pid = os.posix_spawnp(command[0], command, os.environ | settings, file_actions=actions)
    _, status, usage = os.wait4(pid, 0)
    passed = time.perf_counter() - begin
    if status:
        raise SystemExit(f"{' '.join(command)}: exit code {os.waitstatus_to_exitcode(status)}")
    return (usage.ru_utime + usage.ru_stime) * 1000, passed * 1000

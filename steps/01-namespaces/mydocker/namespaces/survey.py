"""The namespaces of this machine and who is in them, read from ``/proc/PID/ns`` (namespaces(7)).

A namespace has no name and no list to be found in: it exists because a process is in it (or a file
descriptor or a mount holds it, which is not looked for here). So all processes are asked. Nothing
is changed; what we may not look at, another user's processes without root, is left out.

``proc`` is where /proc is: tests give another place.
"""

import os
from collections.abc import Iterable

from mydocker.kernel.errors import Failure, NotFound, NotPermitted
from mydocker.kernel.records import record
from mydocker.namespaces.kinds import KINDS
from mydocker.namespaces.users import Mapping, parse_map

_GONE = (FileNotFoundError, ProcessLookupError)


@record
class Namespace:
    """One namespace. ``inode`` is its identity; ``processes`` are the pids in it, lowest first."""

    kind: str
    inode: int
    processes: tuple[int, ...]
    user: str
    command: str


@record
class Membership:
    """One namespace of one process: ``whose`` is "host", "yours" (the reader's) or "own"."""

    kind: str
    inode: int
    whose: str
    others: tuple[int, ...]


@record
class Member:
    """A process of a PID namespace: its pid here and ``inside``, and its parent's pid here."""

    pid: int
    inside: int
    parent: int
    user: str
    memory: int  # bytes in RAM
    command: str


@record
class Portrait:
    """What can be told of one process's surroundings. ``root`` names its root directory's mount."""

    pid: int
    command: str
    user: str
    namespaces: tuple[Membership, ...]
    uid_map: tuple[Mapping, ...]
    gid_map: tuple[Mapping, ...]
    root: str
    members: tuple[Member, ...]


def memberships(pid: int | str, proc: str = "/proc") -> dict[str, int]:
    """The namespaces that a process is in: ``{"uts": 4026531838, …}``.

    Raises Failure if there is no such process, it ended, or we may not look.
    """
    found = {}
    for kind in KINDS:
        if kind.known():
            found[kind.name] = _inode(pid, kind.name, proc)
    return found


def _inode(pid: int | str, kind: str, proc: str) -> int:
    try:
        return parse_link(os.readlink(f"{proc}/{pid}/ns/{kind}"))
    except PermissionError:
        hint = "It is another user's, or has rights that you lack: use sudo"
        raise NotPermitted(f"namespaces of process {pid}: permission denied", hint) from None
    except _GONE:
        if os.path.exists(f"{proc}/{pid}"):
            hint = "A zombie has none: only its parent's wait(2) is missing"
            raise NotFound(f"namespaces of process {pid}: it has ended", hint) from None
        raise NotFound(f"no such process: {pid}", "See: ps -e") from None


def parse_link(link: str) -> int:
    """The inode in the text of such a link: ``uts:[4026531838]``."""
    return int(link.rpartition("[")[2].rstrip("]"))


def pids(proc: str = "/proc") -> list[int]:
    """All processes, lowest pid first."""
    return sorted(int(name) for name in os.listdir(proc) if name.isdecimal())


def machine(proc: str = "/proc") -> list[Namespace]:
    """Every namespace that some process is in, those of one process together."""
    # lab 1.5: find the namespaces of the machine
    found: dict[tuple[str, int], list[int]] = {}
    for pid in pids(proc):
        try:
            for kind, inode in memberships(pid, proc).items():
                found.setdefault((kind, inode), []).append(pid)
        except Failure:
            continue  # ended meanwhile, or not ours to look at
    order = {kind.name: place for place, kind in enumerate(KINDS)}
    keys = sorted(found, key=lambda key: (found[key][0], order[key[0]]))
    return [
        Namespace(kind, inode, tuple(within), user(within[0], proc), command(within[0], proc))
        for kind, inode in keys
        for within in [found[kind, inode]]
    ]
    # end lab


def command(pid: int, proc: str = "/proc") -> str:
    """What a process runs, safe to print; a kernel thread's name in brackets; "" if it ended."""
    try:
        with open(f"{proc}/{pid}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
        if any(words):
            return printable(b" ".join(words))
        with open(f"{proc}/{pid}/comm", "rb") as file:
            return f"[{printable(file.read())}]"
    except (*_GONE, PermissionError):
        return ""


def printable(text: bytes) -> str:
    """Text that somebody else chose, without what would move the cursor or change colours."""
    shown = os.fsdecode(text).strip()
    return "".join(letter if letter.isprintable() else "?" for letter in shown)


def user(pid: int, proc: str = "/proc") -> str:
    """Who owns a process: the user's name, or the number of one without a name; "" if it ended."""
    try:
        uid = os.stat(f"{proc}/{pid}").st_uid
    except _GONE:
        return ""
    import pwd  # only needed by those who look

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def portrait(pid: int, proc: str = "/proc") -> Portrait:
    """Everything about one process's namespaces. Raises Failure as :func:`memberships` does."""
    mine = memberships(pid, proc)
    every = machine(proc)
    try:
        return Portrait(
            pid=pid,
            command=command(pid, proc),
            user=user(pid, proc),
            namespaces=tuple(_membership(pid, kind, mine[kind], every, proc) for kind in mine),
            uid_map=parse_map(_text(f"{proc}/{pid}/uid_map")),
            gid_map=parse_map(_text(f"{proc}/{pid}/gid_map")),
            root=_root(pid, proc),
            members=tuple(_members(_within(every, "pid", mine["pid"]), proc)),
        )
    except _GONE:
        raise NotFound(f"process {pid}: it ended while we looked") from None


def _membership(
    pid: int, kind: str, inode: int, every: Iterable[Namespace], proc: str
) -> Membership:
    others = tuple(other for other in _within(every, kind, inode) if other != pid)
    if _same(1, kind, inode, proc):
        whose = "host"
    else:
        whose = "yours" if _same("self", kind, inode, proc) else "own"
    return Membership(kind, inode, whose, others)


def _same(pid: int | str, kind: str, inode: int, proc: str) -> bool:
    try:
        return _inode(pid, kind, proc) == inode
    except Failure:
        return False


def _within(every: Iterable[Namespace], kind: str, inode: int) -> tuple[int, ...]:
    for namespace in every:
        if (namespace.kind, namespace.inode) == (kind, inode):
            return namespace.processes
    return ()


def _text(path: str) -> str:
    with open(path, errors="surrogateescape") as file:
        return file.read()


def _root(pid: int, proc: str) -> str:
    """The root directory, as seen from here, and what is mounted there."""
    directory = os.readlink(f"{proc}/{pid}/root")
    kind, source = parse_root(_text(f"{proc}/{pid}/mountinfo")) or ("", "")
    return f"{directory} ({kind} of {source})" if kind else directory


def parse_root(mountinfo: str) -> tuple[str, str] | None:
    """Filesystem type and source of the mount at ``/``, the last if there are several.

    A line is ``36 35 98:0 /top / rw,noatime master:1 - ext3 /dev/root rw`` (proc_pid_mountinfo(5)).
    """
    found = None
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        if left.split()[4] == "/":
            found = (right.split()[0], right.split()[1])
    return found


def _members(within: Iterable[int], proc: str) -> list[Member]:
    import psutil  # only needed by those who look

    found = []
    for pid in within:
        try:
            process = psutil.Process(pid)
            memory, parent = process.memory_info().rss, process.ppid()
            inside = parse_inner_pid(_text(f"{proc}/{pid}/status"))
        except (psutil.Error, *_GONE):
            continue  # ended meanwhile
        told = user(pid, proc), memory, command(pid, proc)
        found.append(Member(pid, inside if inside is not None else pid, parent, *told))
    return found


def parse_inner_pid(status: str) -> int | None:
    """The pid in the innermost PID namespace: the last of ``NSpid:  4012  17  1``."""
    for line in status.splitlines():
        if line.startswith("NSpid:"):
            return int(line.split()[-1])
    return None

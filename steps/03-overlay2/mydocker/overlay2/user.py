"""Who runs the command: ``-u USER[:GROUP]``, looked up in the container's own /etc/passwd.

The names belong to the image: ``www-data`` may be 33 in one and 82 in another, and the host's files
have no say. Formats: passwd(5), group(5); ids: credentials(7).
"""

import errno
import os
import stat

from mydocker.container.parts import Part
from mydocker.kernel import files, syscalls
from mydocker.kernel.errors import Failure, KernelError, hints
from mydocker.kernel.numbers import decimal
from mydocker.kernel.records import record

_MAX_ID = 2**31 - 1
_MAX_FILE = 1 << 20  # the image is not ours: a passwd file without end shall not fill our memory


@record
class Identity:
    """Numbers of a user: uid, gid, the supplementary groups, and the home directory."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


@record
class UserPart(Part):
    """Inside, as the last of all: become ``user``, written ``name|uid[:group|gid]``.

    An empty ``user`` stays root, and still gets a HOME and loses the groups of whoever called us.
    ``more`` are groups on top of its own. The root must be the container's already: the two files
    are read from ``/etc``.
    """

    stage = "user"

    user: str = ""
    more: tuple[str, ...] = ()

    def enter(self) -> None:
        group = _lines("/etc/group")
        identity = look_up(self.user or "0", _lines("/etc/passwd"), group)
        more = {_group(name, group, f"--group-add {name}") for name in self.more}
        # Its own group too (CVE-2022-36109): it must not fall out of the list when a program that
        # runs as another group drops privileges, where a file denies that group what others may.
        groups = tuple(dict.fromkeys((identity.gid, *identity.groups, *sorted(more))))
        os.environ.setdefault("HOME", identity.home)
        with hints(_HINTS):
            # Groups first, the user last: whoever is no longer root may not change the others.
            if self.user or more or _may_set_groups():
                syscalls.setgroups(groups, why="its groups, none of ours")
            if self.user:
                gid, uid = identity.gid, identity.uid
                syscalls.setresgid(gid, gid, gid, why="its group")
                syscalls.setresuid(uid, uid, uid, why="its user: root's powers end here")


_HINTS = {
    errno.EINVAL: "The user namespace has no such id: map more of them with --uid-map, --gid-map",
    errno.EPERM: "Only root may change users; in a user namespace, only if setgroups is allowed",
}


def _may_set_groups() -> bool:
    return files.read("/proc/self/setgroups") == "allow"


def home_of(uid: int) -> str:
    """The home directory of a user, as the ``/etc/passwd`` that we see knows it; else ``/``."""
    return look_up(str(uid), _lines("/etc/passwd"), []).home


def look_up(user: str, passwd: list[list[str]], group: list[list[str]]) -> Identity:
    """The numbers behind ``user[:group]``, with the split lines of the two files.

    Raises Failure if a name is not there. A number need not be there: it stands for itself.
    """
    name, colon, group_name = user.partition(":")
    name = name or ("0" if group_name else "")  # a group alone: root's, as Docker has it
    entry = _entry(name, passwd, 7)
    if entry is None and not _is_id(name):
        hint = "The image's /etc/passwd has no such name: give a number, or choose another image"
        raise Failure(f"-u {user}: unable to find user {name}", hint)
    uid = _id(entry[2] if entry else name)
    gid = _id(entry[3]) if entry else 0
    home = entry[5] if entry and entry[5] else "/"
    if colon:
        return Identity(uid, _group(group_name, group, f"-u {user}"), (), home)
    members = {_id(line[2]) for line in group if entry and entry[0] in line[3].split(",")}
    return Identity(uid, gid, tuple(sorted(members - {gid})), home)


def _group(name: str, group: list[list[str]], asked: str) -> int:
    entry = _entry(name, group, 4)
    if entry:
        return _id(entry[2])
    if not _is_id(name):
        hint = "The image's /etc/group has no such name: give a number"
        raise Failure(f"{asked}: unable to find group {name}", hint)
    return _id(name)


def _entry(name: str, lines: list[list[str]], fields: int) -> list[str] | None:
    """The first line whose name is ``name``, or whose id is if that is a number."""
    whole = [line for line in lines if len(line) >= fields]
    named = next((line for line in whole if line[0] == name), None)
    if named or not _is_id(name):
        return named
    return next((line for line in whole if _id(line[2]) == _id(name)), None)


def _is_id(text: str) -> bool:
    return decimal(text, _MAX_ID) is not None


def _id(text: str) -> int:
    return decimal(text, _MAX_ID) or 0


def _lines(path: str) -> list[list[str]]:
    """The usable lines of passwd or group, split at the colons; none if there is no such file.

    Nor if it is something else: whoever runs as root inside may put there what they like, and the
    container shall still be entered.
    """
    text = _read(path).decode(errors="surrogateescape")
    return [line for line in (raw.split(":") for raw in text.split("\n")) if _is_entry(line)]


def _read(path: str) -> bytes:
    """The beginning of a regular file; nothing if it is none, or cannot be read."""
    # O_NONBLOCK: if there is a FIFO, we do not wait for its other end. And no link of /proc leads
    # to what we have open ourselves (/proc/self/fd/7): it may be a file of the host.
    flags, resolve = os.O_RDONLY | os.O_NONBLOCK, syscalls.RESOLVE_NO_MAGICLINKS
    data = b""
    try:
        fd = syscalls.openat2(syscalls.AT_FDCWD, path, flags, resolve)
    except KernelError:
        return data
    try:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            while len(data) < _MAX_FILE and (piece := os.read(fd, _MAX_FILE - len(data))):
                data += piece
    except OSError:  # it may call itself regular and be no file: /proc/self/mem
        return b""
    finally:
        os.close(fd)
    return data


def _is_entry(line: list[str]) -> bool:
    """True for name:password:id:more, in group(5) and, with a group id fourth, in passwd(5)."""
    return len(line) >= 4 and _is_id(line[2]) and (len(line) < 7 or _is_id(line[3]))

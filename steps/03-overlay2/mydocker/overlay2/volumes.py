"""Directories of the host and fresh tmpfs inside a container: ``-v``, ``--tmpfs``, ``--mount``.

What the three options accept, and how it becomes one kind of thing: a :class:`Volume`. See
"Volumes" in docker-run(1), and tmpfs(5).
"""

import os
from collections.abc import Iterable, Sequence

from mydocker.kernel import files, syscalls
from mydocker.kernel.errors import Invalid
from mydocker.kernel.records import record
from mydocker.overlay2.mount_options import FLAGS

BIND = "bind"
TMPFS = "tmpfs"

# What of mount(8)'s words can be said of a tmpfs
_WORDS = ("ro", "rw", "nosuid", "suid", "nodev", "dev", "noexec", "exec")
_TMPFS_DATA = ("size", "mode", "uid", "gid", "nr_inodes", "nr_blocks")
_SAFE = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC


@record
class Volume:
    """Something mounted at ``target`` in the container.

    ``kind`` is "bind", of the host's ``source``, or "tmpfs", with ``flags`` and ``data`` for
    mount(2). ``create``: make a missing ``source`` as a directory, and leave it there, as Docker
    does for ``-v``.
    """

    kind: str
    target: str
    source: str = ""
    read_only: bool = False
    create: bool = False
    flags: int = 0
    data: str = ""


def parse_volume(text: str) -> Volume:
    """``-v HOST:CONTAINER[:ro|rw]``. Raises Failure that says which forms there are."""
    source, colon, rest = text.partition(":")
    target, _, mode = rest.partition(":")
    where = f"-v {text}"
    forms = "Write -v HOST:CONTAINER, or -v HOST:CONTAINER:ro to forbid writing"
    if not colon or not source or not target:
        raise Invalid(f"{where}: needs a directory of the host and one of the container", forms)
    if mode not in ("", "ro", "rw"):
        raise Invalid(f"{where}: {mode} is not ro or rw", forms)
    return Volume(
        BIND, _target(target, where), _source(source, where), read_only=mode == "ro", create=True
    )


def parse_tmpfs(text: str) -> Volume:
    """``--tmpfs PATH[:OPTIONS]``: noexec, nosuid and nodev unless the options say otherwise."""
    target, _, options = text.partition(":")
    return _tmpfs(_target(target, f"--tmpfs {text}"), options.split(","), f"--tmpfs {text}")


def parse_mount(text: str) -> Volume:
    """``--mount type=bind,source=HOST,target=PATH[,readonly]``, or ``type=tmpfs,target=PATH``."""
    where = f"--mount {text}"
    fields = _fields(text, where)
    kind = fields.pop("type", "")
    target = fields.pop("target", "")
    if kind not in (BIND, TMPFS) or not target:
        raise Invalid(f"{where}: needs a type, bind or tmpfs, and a target", _MOUNT_FORMS)
    read_only = _truth(fields.pop("readonly", "false"), where)
    if kind == TMPFS:
        options = [f"{name}={fields.pop(f'tmpfs-{name}')}" for name in ("size", "mode")
                   if f"tmpfs-{name}" in fields]  # fmt: skip
        volume = _tmpfs(_target(target, where), [*options, "ro" if read_only else "rw"], where)
    else:
        source = _source(fields.pop("source", ""), where)
        volume = Volume(BIND, _target(target, where), source, read_only=read_only)
    if fields:
        raise Invalid(f"{where}: {next(iter(fields))} is no key of type={kind}", _MOUNT_FORMS)
    return volume


_MOUNT_FORMS = (
    "Write type=bind,source=HOST,target=PATH[,readonly]"
    " or type=tmpfs,target=PATH[,tmpfs-size=64m][,tmpfs-mode=1777]"
)
_ALIASES = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}


def _fields(text: str, where: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for field in text.split(","):
        key, equals, value = field.partition("=")
        key = _ALIASES.get(key, key)
        if not equals and key != "readonly":
            raise Invalid(f"{where}: {field or 'an empty field'} is not KEY=VALUE", _MOUNT_FORMS)
        if key in fields:
            raise Invalid(f"{where}: says {key} twice", _MOUNT_FORMS)
        fields[key] = value if equals else "true"
    return fields


def _truth(text: str, where: str) -> bool:
    if text not in ("true", "false", "1", "0"):
        raise Invalid(f"{where}: readonly={text} is neither true nor false", _MOUNT_FORMS)
    return text in ("true", "1")


def _tmpfs(target: str, options: Iterable[str], where: str) -> Volume:
    flags, data = _SAFE, {"mode": "1777"}
    for option in options:
        key, equals, value = option.partition("=")
        if key in _WORDS and not equals:
            flag, wanted = FLAGS[key]
            flags = flags | flag if wanted else flags & ~flag
        elif key in _TMPFS_DATA and value:
            data[key] = value
        elif option:
            known = f"{', '.join(_WORDS)}, {'=, '.join(_TMPFS_DATA)}="
            raise Invalid(f"{where}: {option} is no option of a tmpfs", f"Known are {known}")
    text = ",".join(f"{key}={value}" for key, value in data.items())
    return Volume(TMPFS, target, flags=flags, data=text)


def _source(path: str, where: str) -> str:
    if not path.startswith("/"):
        hint = f"Write it from the root of the host: {os.path.join(os.getcwd(), path)}"
        raise Invalid(f"{where}: the host's directory must be an absolute path", hint)
    return os.path.normpath(path)


def _target(path: str, where: str) -> str:
    if not path.startswith("/"):
        raise Invalid(f"{where}: {path} is not an absolute path in the container")
    path = "/" + os.path.normpath(path).lstrip("/")
    if path == "/":
        raise Invalid(f"{where}: / is the image itself", "Choose a directory below it")
    return path


def ordered(volumes: Sequence[Volume]) -> tuple[Volume, ...]:
    """Outer directories before those inside them.

    Raises Failure if two have the same target, or if one hides what /proc tells: we read there
    ourselves on the way to the command, and must not be told lies (CVE-2019-16884). Where links of
    the image lead is seen only when it is mounted: ``rootfs.Root.place``.
    """
    seen: set[str] = set()
    for volume in volumes:
        if f"{volume.target}/".startswith("/proc/") and volume.target not in OF_PROC:
            hint = "Choose another directory"
            raise Invalid(f"{volume.target}: nothing can be mounted inside /proc", hint)
        if volume.target in seen:
            raise Invalid(f"{volume.target}: two volumes for the same place in the container")
        seen.add(volume.target)
    return tuple(sorted(volumes, key=lambda volume: volume.target.count("/")))


# What a view of the machine's share may be mounted on, as lxcfs(1) makes it
OF_PROC = {
    f"/proc/{name}"
    for name in ("cpuinfo", "diskstats", "loadavg", "meminfo", "stat", "swaps", "uptime")
}


def provide_sources(volumes: Iterable[Volume]) -> None:
    """Make the missing directories of ``-v`` on the host; Failure for those of ``--mount``."""
    for volume in volumes:
        if volume.kind != BIND or os.path.exists(volume.source):
            continue
        if not volume.create:
            hint = f"Make it first (mkdir -p {volume.source}), or use -v, which makes it"
            raise Invalid(f"--mount: {volume.source}: no such file or directory", hint)
        _make_directory(volume.source)


def _make_directory(path: str) -> None:
    if not os.path.isdir(path):
        _make_directory(os.path.dirname(path))
        files.mkdir(path, why="-v makes a directory that is missing on the host")

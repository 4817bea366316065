"""Base images that we make ourselves: ``busybox`` and ``debian``.

``busybox`` is one static program that is a shell and 270 commands, chosen by the name it is called
by (busybox(1)); Debian has it in the package ``busybox-static``. The image is made at first use, in
less than a second, and is the same to the byte each time: names in order, and for every time the
one of the program's build.

``debian`` is what debootstrap(8) installs: Debian's essential packages, from the mirror that this
machine's apt uses. That takes minutes and the network, so it is made on request only.
"""

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from mydocker.kernel.errors import Failure, NotPermitted
from mydocker.overlay2.image import Image, ImageConfig
from mydocker.overlay2.images import ImageStore, NoSuchImage
from mydocker.overlay2.importing import import_stream
from mydocker.overlay2.workspace import workspace

if TYPE_CHECKING:
    from subprocess import Popen
    from tarfile import TarInfo

BUSYBOX = "busybox:latest"
DEBIAN = "debian:latest"

_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BUSYBOX_PROGRAMS = ("/bin/busybox", "/usr/bin/busybox")

_DIRECTORIES = {
    "bin": 0o755,
    "dev": 0o755,
    "etc": 0o755,
    "home": 0o755,
    "mnt": 0o755,
    "proc": 0o555,
    "root": 0o700,
    "run": 0o755,
    "sbin": 0o755,
    "sys": 0o555,
    "tmp": 0o1777,
    "usr": 0o755,
    "usr/bin": 0o755,
    "usr/sbin": 0o755,
    "var": 0o755,
    "var/log": 0o755,
    "var/tmp": 0o1777,
}

_PASSWD = """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
bin:x:2:2:bin:/bin:/bin/false
sys:x:3:3:sys:/dev:/bin/false
mail:x:8:8:mail:/var/mail:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
"""

_GROUP = """\
root:x:0:
daemon:x:1:
bin:x:2:
sys:x:3:
tty:x:5:
disk:x:6:
mail:x:8:
www-data:x:33:
users:x:100:
nogroup:x:65534:
"""

_FILES = {
    "etc/group": _GROUP,
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "etc/passwd": _PASSWD,
}

Report = Callable[[str], None]


def _silent(line: str) -> None:
    pass


def resolve_or_make(store: ImageStore, name: str, report: Report = _silent) -> Image:
    """The image called ``name``; the embedded ``busybox`` is made if it is asked for and not there.

    Raises NoSuchImage with a hint how to get it.
    """
    try:
        return store.resolve(name)
    except NoSuchImage as error:
        missing = str(error.message).removeprefix("No such image: ")
    if missing == BUSYBOX:
        report("making the image busybox from this machine's busybox-static")
        made = make_busybox(store)
        # So that the same program makes the same image, with the same id, everywhere.
        report(f"its date is the program's: {made.created[:10]}")
        return made
    hint = f"Import one: mydocker import FILE.tar {name}"
    if missing == DEBIAN:
        hint = "Make it: mydocker images make debian"
    raise NoSuchImage(missing, hint)


# ---------------------------------------------------------------- busybox


def make_busybox(store: ImageStore) -> Image:
    """Make the image ``busybox:latest``. Raises Failure if there is no static busybox here."""
    import io
    import tarfile
    from datetime import UTC, datetime

    program = _static_busybox()
    built = int(os.stat(program).st_mtime)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for entry, data in _busybox_entries(program):
            entry.mtime = built
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return import_stream(
        store,
        iter([packed.getvalue()]),
        [BUSYBOX],
        config=ImageConfig(env=(_PATH,), cmd=("sh",)),
        comment="busybox, made by mydocker",
        created=datetime.fromtimestamp(built, UTC).isoformat().replace("+00:00", "Z"),
    )


def _static_busybox() -> str:
    for path in _BUSYBOX_PROGRAMS:
        if os.path.exists(path):
            with open(path, "rb") as file:
                # A dynamic program names its loader in an INTERP header, near its beginning. In the
                # image there is no loader, and it would say "No such file or directory".
                if b"/ld-linux" not in file.read(4096):
                    return path
    raise Failure(
        "the image busybox is made from a static busybox, and there is none",
        "Install it: apt-get install busybox-static",
    )


def _busybox_entries(program: str) -> Iterator[tuple["TarInfo", bytes]]:
    """All that is in the image, sorted by name, so that directories come before their files."""
    from tarfile import DIRTYPE, SYMTYPE, TarInfo

    entries: dict[str, tuple[TarInfo, bytes]] = {}

    def add(name: str, mode: int, data: bytes = b"") -> TarInfo:
        entry = TarInfo(name)
        entry.mode = mode
        entries[name] = (entry, data)
        return entry

    for name, mode in _DIRECTORIES.items():
        add(name, mode).type = DIRTYPE
    for name, text in _FILES.items():
        add(name, 0o644, text.encode())
    for name in _applets(program):
        entry = add(name, 0o777)
        entry.type = SYMTYPE
        entry.linkname = "../" * name.count("/") + "bin/busybox"
        if name.startswith("bin/"):
            entry.linkname = "busybox"
    with open(program, "rb") as file:
        add("bin/busybox", 0o755, file.read())
    for name in sorted(entries):
        yield entries[name]


def _applets(program: str) -> list[str]:
    """The names by which busybox can be called, with their directories: ``bin/ls``."""
    import subprocess

    told = subprocess.run([program, "--list-full"], capture_output=True, text=True)
    names = [name for name in told.stdout.split() if os.path.dirname(name) in _DIRECTORIES]
    if not names:
        raise Failure(
            f"{program} --list-full: it names no commands", "Install Debian's own: busybox-static"
        )
    return names


# ---------------------------------------------------------------- debian


def make_debian(store: ImageStore, report: Report = _silent) -> Image:
    """Make the image ``debian:latest`` with debootstrap; minutes of work, and it needs the network.

    ``report`` is told each step in one line. Raises Failure with what debootstrap said.
    """
    import shutil

    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    if not shutil.which("debootstrap", path=path):
        raise Failure("debootstrap: command not found", "Install it: apt-get install debootstrap")
    if os.geteuid() != 0:
        raise NotPermitted("debootstrap makes device nodes and owners", "Only root can: use sudo")
    suite, mirror = _suite_and_mirror()
    with workspace(store.root) as work:
        tree = f"{work}/tree"
        _debootstrap(suite, tree, mirror, path, report)
        report("packing the image")
        return import_stream(
            store,
            _pack(tree),
            [DEBIAN, f"debian:{suite}"],
            config=ImageConfig(env=(_PATH,), cmd=("bash",)),
            comment=f"debootstrap --variant=minbase {suite}",
        )


def _suite_and_mirror() -> tuple[str, str]:
    """What apt on this machine is told: the release, and where packages come from."""
    import subprocess

    suite, mirror = "bookworm", "http://deb.debian.org/debian"
    command = [
        "apt-get",
        "indextargets",
        "--format",
        "$(IDENTIFIER) $(CODENAME) $(COMPONENT) $(REPO_URI)",
    ]
    try:
        told = subprocess.run(command, capture_output=True, text=True).stdout
        with open("/etc/os-release") as file:
            release = dict(line.rstrip("\n").split("=", 1) for line in file if "=" in line)
    except FileNotFoundError:
        return suite, mirror
    if release.get("ID") == "debian":
        suite = release.get("VERSION_CODENAME", suite)
    for line in told.splitlines():
        words = line.split(" ", 3)
        if words[:3] == ["Packages", suite, "main"]:
            return suite, words[3].rstrip("/")
    return suite, mirror


def _debootstrap(suite: str, tree: str, mirror: str, path: str, report: Report) -> None:
    """Run debootstrap in namespaces of its own: its mounts and its processes go when it goes."""
    import subprocess

    namespaces = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "--pid",
        "--fork",
        "--kill-child",
    ]
    command = [*namespaces, "debootstrap", "--variant=minbase", suite, tree, mirror]
    environment = os.environ | {"PATH": path, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    last = ""
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        try:
            for line in process.stdout or ():
                last = line.strip() or last
                report(last.removeprefix("I: "))
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise Failure(
            f"debootstrap {suite} from {mirror}: {last.removeprefix('E: ')}",
            "Is the mirror reachable from here? Try: apt-get update",
        )


def _pack(tree: str) -> Iterator[bytes]:
    """The tree as a tar stream, without what belongs to this machine or is only a cache."""
    import subprocess

    left_out = (
        "./etc/hostname",
        "./etc/resolv.conf",
        "./var/cache/apt/*",
        "./var/lib/apt/lists/*",
        "./var/log/bootstrap.log",
    )
    command = ["tar", "--sort=name", "--numeric-owner", "--xattrs", "--xattrs-include=*"]
    command += [f"--exclude={pattern}" for pattern in left_out]
    process = subprocess.Popen([*command, "-C", tree, "-c", "."], stdout=subprocess.PIPE)
    yield from _output(process)


def _output(process: "Popen[bytes]") -> Iterator[bytes]:
    assert process.stdout
    try:
        while piece := process.stdout.read(1 << 20):
            yield piece
        if process.wait() != 0:
            raise Failure("tar could not pack the image; what it said is above")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


RECIPES: dict[str, Callable[[ImageStore, Report], Image]] = {
    "busybox": lambda store, report: make_busybox(store),
    "debian": make_debian,
}

"""A container's root, looked at from outside through /proc/PID, and attacked from inside."""

import io
import os
import re
import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from sandbox.launcher import Launcher
from sandbox.machine import Sandbox
from sandbox.patience import patience

from mydocker.overlay2.plan import default_plan

pytestmark = pytest.mark.root

# Written out here, and not imported: what must be so is not for the program to say.
DEVICES = {
    "null": (1, 3),
    "zero": (1, 5),
    "full": (1, 7),
    "random": (1, 8),
    "urandom": (1, 9),
    "tty": (5, 0),
}
HIDDEN = [
    "proc/acpi",
    "proc/kcore",
    "proc/keys",
    "proc/latency_stats",
    "proc/sched_debug",
    "proc/scsi",
    "proc/timer_list",
    "sys/firmware",
    "sys/devices/virtual/powercap",
]
SWITCHES = ["proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"]
OWN = {"overlay", "proc", "tmpfs", "devpts", "mqueue", "sysfs", "cgroup2", "devtmpfs"}


def running(mydocker: Launcher, *options: str) -> Path:
    """``/proc/PID`` of a container of busybox that sleeps."""
    started = mydocker.start(3, "run", *options, "busybox", "sleep", "60")
    return Path(f"/proc/{mydocker.inside(started, 'sleep', patience=60)}")


def mounts(process: Path) -> dict[str, tuple[str, set[str], str]]:
    """Mount point → (filesystem, options of the mount, what of it is mounted)."""
    found = {}
    for line in (process / "mountinfo").read_text().splitlines():
        fields = line.split()
        found[fields[4]] = (fields[fields.index("-") + 1], set(fields[5].split(",")), fields[3])
    return found


def test_the_root_is_the_image_on_an_overlay(mydocker: Launcher) -> None:
    process = running(mydocker)
    names = set(os.listdir(process / "root"))
    assert {"bin", "dev", "etc", "proc", "sys", "tmp"} <= names
    assert "busybox" in os.listdir(process / "root/bin")
    assert mounts(process)["/"][0] == "overlay"


def test_nothing_of_the_old_root_is_mounted(mydocker: Launcher) -> None:
    found = mounts(running(mydocker))
    assert {kind for kind, _, _ in found.values()} <= OWN
    assert [kind for kind, _, _ in found.values()].count("overlay") == 1
    tops = {"/" + target.strip("/").split("/")[0] for target in found}
    assert tops == {"/", "/proc", "/dev", "/sys"}


def escape(mount_namespace: int | None, start: Path | None) -> set[str]:
    """What root sees after the classic way out of a chroot: chroot deeper, stay behind, climb.

    In a child of ours, first moved into ``mount_namespace`` or merely into ``chroot(start)``.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            from mydocker.kernel import syscalls

            if mount_namespace is not None:
                syscalls.setns(mount_namespace, syscalls.CLONE_NEWNS)
            if start is not None:
                os.chroot(start)
                os.chdir("/")
            os.chroot("/tmp")  # the working directory stays outside of it
            for _ in range(100):
                os.chdir("..")
            os.chroot(".")
            os.write(writing, " ".join(os.listdir("/")).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading) as pipe:
        names = set(pipe.read().split())
    os.waitpid(child, 0)
    return names


def test_the_way_out_of_a_chroot_leads_nowhere(mydocker: Launcher, tmp_path: Path) -> None:
    here = set(os.listdir("/"))
    (tmp_path / "tmp").mkdir()
    assert escape(None, tmp_path) == here, "a mere chroot should have let us out"
    process = running(mydocker)
    namespace = os.open(process / "ns/mnt", os.O_RDONLY)
    try:
        seen = escape(namespace, None)
    finally:
        os.close(namespace)
    assert seen == set(os.listdir(process / "root"))


def test_below_the_root_lies_no_other(mydocker: Launcher, sandbox: Sandbox) -> None:
    """A root that was only moved over the old one can be taken away again, and there is the host.

    Who enters a mount namespace stands in what is its root, and not in what a chroot made of it.
    """
    process = running(mydocker)
    namespace = os.open(process / "ns/mnt", os.O_RDONLY)
    try:
        assert uncovered(namespace, sandbox.directory) == "the host's files are not there"
    finally:
        os.close(namespace)


def uncovered(mount_namespace: int, place: Path) -> str:
    """Is the host's ``place`` there, once the uppermost mount at the root of a mount namespace was
    taken away? (What the kernel has booted from may be: an empty directory on most machines.)"""
    from mydocker.kernel import syscalls
    from mydocker.kernel.errors import KernelError

    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            syscalls.setns(mount_namespace, syscalls.CLONE_NEWNS)
            with suppress(KernelError):  # the root itself cannot be taken away
                syscalls.umount2("/", syscalls.MNT_DETACH)
            syscalls.setns(mount_namespace, syscalls.CLONE_NEWNS)
            there = "there" if place.exists() else "not there"
            os.write(writing, f"the host's files are {there}".encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading) as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    return told


@pytest.mark.parametrize("options", [(), ("--userns", "private")])
def test_dev_holds_six_harmless_devices(mydocker: Launcher, options: tuple[str, ...]) -> None:
    dev = running(mydocker, *options) / "root/dev"
    assert stat.S_IMODE(dev.stat().st_mode) == 0o755
    found = {}
    for path in dev.iterdir():
        status = path.lstat()
        if stat.S_ISCHR(status.st_mode):
            found[path.name] = (os.major(status.st_rdev), os.minor(status.st_rdev))
            assert stat.S_IMODE(status.st_mode) == 0o666
    assert found == DEVICES
    links = {path.name: os.readlink(path) for path in dev.iterdir() if path.is_symlink()}
    assert links == {
        "fd": "/proc/self/fd",
        "stdin": "/proc/self/fd/0",
        "stdout": "/proc/self/fd/1",
        "stderr": "/proc/self/fd/2",
        "ptmx": "pts/ptmx",
    }


def test_devices_work(mydocker: Launcher) -> None:
    script = "head -c 3 /dev/zero | wc -c; head -c 5 /dev/urandom | wc -c; echo x >/dev/full"
    done = mydocker(3, "run", "busybox", "sh", "-c", script, code=1)
    assert done.stdout.split() == ["3", "5"]
    assert "No space left" in done.stderr


def test_terminals_shm_and_queues_are_its_own(mydocker: Launcher) -> None:
    process = running(mydocker)
    dev, found = process / "root/dev", mounts(process)
    assert os.stat(dev / "pts").st_dev != os.stat("/dev/pts").st_dev
    assert os.listdir(dev / "pts") == ["ptmx"]
    assert stat.S_IMODE(os.stat(dev / "pts/ptmx").st_mode) == 0o666
    assert found["/dev/shm"][0] == "tmpfs" and {"nosuid", "nodev"} <= found["/dev/shm"][1]
    shm = os.statvfs(dev / "shm")
    assert shm.f_blocks * shm.f_frsize == 64 << 20
    assert found["/dev/mqueue"][0] == "mqueue"


@pytest.mark.parametrize("options", [(), ("--userns", "private")])
def test_what_tells_of_the_machine_is_hidden(mydocker: Launcher, options: tuple[str, ...]) -> None:
    root = running(mydocker, *options) / "root"
    seen = 0
    for name in HIDDEN:
        path = root / name
        if not path.exists():
            continue
        seen += 1
        if path.is_dir():
            assert os.listdir(path) == [], name
            assert os.statvfs(path).f_flag & os.ST_RDONLY, name
        else:
            assert path.stat().st_rdev == os.makedev(1, 3), name
    assert seen >= 2


@pytest.mark.parametrize("options", [(), ("--userns", "private")])
def test_the_kernels_switches_cannot_be_turned(
    mydocker: Launcher, options: tuple[str, ...]
) -> None:
    process = running(mydocker, *options)
    found = mounts(process)
    for name in SWITCHES:
        if (process / "root" / name).exists():
            assert "ro" in found[f"/{name}"][1], name
    assert "ro" in found["/sys"][1]
    assert "rw" in found["/proc"][1]
    assert {"nosuid", "nodev", "noexec"} <= found["/proc"][1] & found["/sys"][1]


def test_what_this_kernel_has_not_is_hidden_all_the_same() -> None:
    """Not every kernel has each of them (sysrq-trigger, acpi): so the plan is looked at, too."""
    usual = default_plan()
    assert {f"/{name}" for name in HIDDEN} <= set(usual.masked_paths)
    assert {f"/{name}" for name in SWITCHES} <= set(usual.readonly_paths)


def test_the_cgroup_tree_is_shown_on_a_machine_with_v2_alone(
    mydocker: Launcher, tmp_path: Path
) -> None:
    # A machine with v1 is made to look like one: in mount namespaces of our own.
    alone = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    arguments = mydocker.argv(3, "run", "busybox", "sh", "-c", "cat /proc/self/mountinfo")
    look = "exec " if alone else "mount -t cgroup2 none /sys/fs/cgroup && exec "
    script = look + " ".join(f"'{argument}'" for argument in arguments)
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=True
    )
    (line,) = [line for line in done.stdout.splitlines() if " /sys/fs/cgroup " in line]
    assert " - cgroup2 " in line and line.split()[5].startswith("ro,")


def test_read_only_root(mydocker: Launcher) -> None:
    script = "echo x 2>/dev/null >/x || echo refused; echo y >/dev/shm/y && cat /dev/shm/y"
    done = mydocker(3, "run", "--read-only", "busybox", "sh", "-c", script)
    assert done.stdout.split() == ["refused", "y"]
    assert "ro" in mounts(running(mydocker, "--read-only"))["/"][1]
    assert "rw" in mounts(running(mydocker))["/"][1]


def test_a_terminal_of_its_own(mydocker: Launcher) -> None:
    import pexpect

    argv = mydocker.argv(3, "run", "-it", "busybox", "sh", "-c", "tty; ls /dev/pts")
    child = pexpect.spawn(argv[0], argv[1:], timeout=patience(30))
    child.expect_exact(["/dev/pts/0"])
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


# ---------------------------------------------------------------- images that mean harm


@pytest.fixture
def import_image(
    mydocker: Launcher, sandbox: Sandbox, tmp_path: Path
) -> Callable[[str, dict[str, str]], None]:
    """Import an image of busybox's files and some links: ``(name, {path: target})``."""
    mydocker(3, "run", "busybox", "true")
    (layer,) = [
        path
        for path in (sandbox.root / "overlay2").glob("*/diff")
        if (path / "bin/busybox").exists() and not (path / "marked").exists()
    ][:1]

    def make(name: str, links: dict[str, str]) -> None:
        archive = tmp_path / f"{name}.tar"
        with tarfile.open(archive, "w") as tar:
            for directory in ("bin", "etc", "tmp"):
                entry = tarfile.TarInfo(directory)
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(entry)
            tar.add(layer / "bin/busybox", "bin/busybox")
            mark = tarfile.TarInfo("marked")
            tar.addfile(mark, io.BytesIO())
            for path, target in {"bin/sh": "busybox", **links}.items():
                entry = tarfile.TarInfo(path)
                entry.type, entry.linkname = tarfile.SYMTYPE, target
                tar.addfile(entry)
        mydocker(3, "import", str(archive), name)

    return make


def test_an_image_whose_mount_points_are_links_stays_inside(
    mydocker: Launcher, import_image: Callable[[str, dict[str, str]], None], tmp_path: Path
) -> None:
    victim, data = tmp_path / "victim", tmp_path / "data"
    for directory in (victim, data):
        directory.mkdir()
    (data / "seen").touch()
    up = "../" * 20
    import_image("linked", {"data": up + "tmp", "dev": f"{up}etc", "away": f"{up}{victim}/new"})
    script = "/bin/busybox ls /tmp; /bin/busybox ls /etc"
    done = mydocker(3, "run", "-v", f"{data}:/data", "linked", "sh", "-c", script)
    # The volume is where the link leads *inside*, and so is /dev, behind a link to /etc.
    assert "seen" in done.stdout.split() and "urandom" in done.stdout.split()

    refused = mydocker(3, "run", "-v", f"{data}:/away", "linked", "sh", "-c", "true", code=125)
    assert "/away in the container: cannot be made" in refused.stderr
    assert list(victim.iterdir()) == []


KERNELS = {
    "proc": "/proc",
    "in proc": "/proc/self",
    "round about": "../../../proc/sys",
    "sys": "/sys",
    "in sys": "/sys/fs",
    "root": "/",
}


@pytest.mark.parametrize("leads_to", KERNELS)
def test_a_link_to_what_tells_of_the_machine_is_no_mount_point(
    mydocker: Launcher,
    import_image: Callable[[str, dict[str, str]], None],
    tmp_path: Path,
    leads_to: str,
) -> None:
    """What was found is refused, whatever was written: else /proc would be a volume's directory,
    which other containers change while we hide things in it."""
    image = "to-" + leads_to.replace(" ", "-")
    import_image(image, {"x": KERNELS[leads_to]})
    for options in (
        ["-v", f"{tmp_path}:/x"],
        ["--tmpfs", "/x"],
        ["--mount", f"type=bind,source={tmp_path},target=/x,readonly"],
        *([["-v", f"{tmp_path}:/x/new/deep"]] if leads_to != "root" else []),
    ):
        refused = mydocker(3, "run", *options, image, "busybox", "ls", code=125)
        assert len(refused.stderr.splitlines()) == 1
        assert re.match(r"mydocker: /x\S* in the container: is ", refused.stderr)
        assert "the kernel's" in refused.stderr or "is the root itself" in refused.stderr


def test_an_image_whose_proc_is_a_link(
    mydocker: Launcher, import_image: Callable[[str, dict[str, str]], None]
) -> None:
    for name in ("proc", "sys"):
        import_image(f"linked-{name}", {name: "tmp"})
        refused = mydocker(3, "run", f"linked-{name}", "true", code=125)
        assert refused.stderr.startswith(f"mydocker: /{name} in the container: Too many levels")
        assert "must have a directory" in refused.stderr


def test_what_may_be_mounted_in_proc(mydocker: Launcher, tmp_path: Path) -> None:
    """A share of the machine instead of the whole, as lxcfs(1) makes it; and /sys, asked for."""
    (tmp_path / "cpuinfo").write_text("one processor")
    options = ["-v", f"{tmp_path}/cpuinfo:/proc/cpuinfo", "-v", "/sys/fs:/sys/fs:ro"]
    done = mydocker(3, "run", *options, "busybox", "cat", "/proc/cpuinfo")
    assert done.stdout == "one processor"


def test_what_hides_is_the_null_device(tmp_path: Path) -> None:
    """CVE-2025-31133: were it another file, it would be in the container, to be written to."""
    from mydocker.kernel import syscalls
    from mydocker.kernel.errors import Failure
    from mydocker.overlay2 import rootfs

    (tmp_path / "root").mkdir()
    (tmp_path / "root/file").touch()
    (tmp_path / "no-null").write_text("of the host")
    child = os.fork()
    if child == 0:
        try:
            syscalls.unshare(syscalls.CLONE_NEWNS)
            syscalls.mount("none", "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
            root = rootfs.Root(str(tmp_path / "root"))
            syscalls.mount(str(tmp_path / "no-null"), "/dev/null", None, syscalls.MS_BIND)
            try:
                rootfs._mask(root, "/file")
            except Failure as failure:
                os._exit(0 if "is not the null device" in str(failure) else 2)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_no_value_goes_to_what_covers_proc(tmp_path: Path) -> None:
    """CVE-2025-52881: a write to /proc reaches the kernel, or nobody."""
    from mydocker.kernel import files, syscalls
    from mydocker.kernel.errors import KernelError

    cover = tmp_path / "cover"
    cover.write_text("")
    child = os.fork()
    if child == 0:
        try:
            syscalls.unshare(syscalls.CLONE_NEWNS)
            syscalls.mount("none", "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
            syscalls.mount(str(cover), "/proc/self/comm", None, syscalls.MS_BIND)
            try:
                files.write("/proc/self/comm", "astray")
            except KernelError:
                os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert cover.read_text() == ""


def test_looking_up_goes_on_while_others_rename(tmp_path: Path) -> None:
    from mydocker.overlay2.rootfs import Root

    (tmp_path / "root/there").mkdir(parents=True)
    (tmp_path / "a").mkdir()
    script = "import os\nwhile True: os.rename('a', 'b'); os.rename('b', 'a')"
    renaming = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path)
    try:
        root = Root(str(tmp_path / "root"))
        for _ in range(3000):
            os.close(root.find("../../there"))
        assert root.find("../a") == -1
        os.close(root.fd)
    finally:
        renaming.kill()
        renaming.wait()


def test_links_in_a_circle_are_one_clear_line(
    mydocker: Launcher, import_image: Callable[[str, dict[str, str]], None], tmp_path: Path
) -> None:
    import_image("circle", {"data": "data"})
    failed = mydocker(3, "run", "-v", f"{tmp_path}:/data", "circle", "sh", code=125)
    assert failed.stderr.startswith("mydocker: /data in the container: Too many levels")
    assert len(failed.stderr.splitlines()) == 1


def test_an_image_without_a_shell(
    mydocker: Launcher, import_image: Callable[[str, dict[str, str]], None]
) -> None:
    import_image("shellless", {"bin/sh": "nowhere"})
    failed = mydocker(3, "run", "shellless", "/bin/sh", code=127)
    assert "no such file" in failed.stderr

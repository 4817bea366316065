"""Makes the image: debootstrap, the set-up in a chroot, an ext4 file, kernel and initrd.

Runs as a process of its own (`python3 -m vm.image`) in new mount and PID namespaces that die
with their first process: whatever happens, no mount and no process of a build stays on the host.
Man pages: unshare(1), debootstrap(8), chroot(8), mke2fs(8).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vm import foreign, initrd, lifeline, pip_configuration, recipe, repository
from vm.errors import VmError

LOOK = 0.2  # seconds between two looks for a signal, or for what is waited for
KEPT = 3  # images: so that going back and forth between two branches costs nothing


@dataclass(frozen=True)
class Image:
    """A finished image; its files are never written to."""

    folder: Path

    @property
    def disk(self) -> Path:
        return self.folder / "root.ext4"

    @property
    def kernel(self) -> Path:
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        return self.folder / "initrd"


def say(message: str) -> None:
    print(f"vm: {message}", file=sys.stderr, flush=True)


def of_repository(cache: Path, machine: str) -> Image:
    """The image for this repository, whether it is in the cache or not."""
    return Image(cache / f"image-{recipe.image_key(repository.ROOT, machine)}")


def ready(cache: Path, mirror: str, machine: str) -> Image:
    """The image for this repository, built now if it is not in the cache."""
    image = of_repository(cache, machine)
    if image.folder.exists():
        os.utime(image.folder)  # the least recently used are removed first
        return image
    if os.geteuid() != 0:
        raise VmError("the image has to be built, which needs root: run it with sudo once")
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        _hold(lock.fileno())  # two builds at once: the second waits and finds it
        if not image.folder.exists():
            say(f"building the image in {cache} (the first time, a few minutes)")
            _remove_old(cache)
            _run_apart(cache, image.folder, mirror, machine, lock.fileno())
    return image


def _hold(lock: int) -> None:
    """Ask again and again: a signal that came just before a wait without end would be lost."""
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOOK)


def _end_of(process: subprocess.Popen[bytes]) -> int:
    """Its exit code; asked for again and again, for the same reason."""
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(LOOK)
    except BaseException:
        process.kill()
        process.wait()
        raise


def _run_apart(cache: Path, folder: Path, mirror: str, machine: str, lock: int) -> None:
    """Run `build` in its own namespaces; its death is ours and the other way round."""
    command = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork"]
    command += ["--mount-proc", "--kill-child=KILL", sys.executable, "-m", "vm.image"]
    command += [str(cache), str(folder), mirror, machine]
    # The builder holds the lock too: as long as one of its processes lives, nobody else builds.
    builder = subprocess.Popen(
        command, cwd=repository.ROOT, stdin=subprocess.DEVNULL, pass_fds=[lock],
        preexec_fn=lifeline.die_with_parent,
    )  # fmt: skip
    if _end_of(builder) != 0:
        raise VmError(f"the image could not be built (full log: {cache}/build.log)")


def _remove_old(cache: Path) -> None:
    """Remove what interrupted builds left, and images that nobody used for long."""
    for folder in cache.glob("*.building"):
        shutil.rmtree(folder)
    images = sorted(cache.glob("image-*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for folder in images[KEPT - 1 :]:
        shutil.rmtree(folder)
    current = {f"base-{recipe.base_key(machine)}" for machine in recipe.ARCHITECTURES}
    for folder in cache.glob("base-*"):
        if folder.name not in current:
            shutil.rmtree(folder)


# From here on: inside the namespaces.


class Log:
    """The commands of a build, with their output in one file, shown when one fails."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.path.write_bytes(b"")

    def run(self, *command: str, environment: dict[str, str] | None = None) -> None:
        with self.path.open("ab") as output:
            output.write(f"+ {' '.join(command)}\n".encode())
            output.flush()
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env={**os.environ, **(environment or {})}, check=False,
            )  # fmt: skip
        if done.returncode != 0:
            for line in self.path.read_text(errors="replace").splitlines()[-15:]:
                print(f"    {line}", file=sys.stderr)
            raise VmError(f"`{' '.join(command)}` failed with exit code {done.returncode}")


def make_base(log: Log, folder: Path, mirror: str, machine: str) -> None:
    """Debian with the recipe's packages, as a folder."""
    packages = ",".join([*recipe.PACKAGES, recipe.architecture(machine).kernel])
    say(f"debootstrap {recipe.SUITE} from {mirror} with {len(recipe.PACKAGES) + 1} packages")
    # INITRD=No: Debian's hooks then skip the initrd with all drivers; we make a small one.
    environment = {"INITRD": "No", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    stages = ["--foreign", f"--arch={recipe.architecture(machine).debian}"]
    log.run(
        "debootstrap", *(stages if is_foreign(machine) else []), "--variant=minbase",
        f"--include={packages}", recipe.SUITE, str(folder), mirror, environment=environment,
    )  # fmt: skip
    if is_foreign(machine):
        say(f"its programs are of another processor ({machine}): this takes longer")
        make_devices(folder)
        second = [*chroot(folder, machine), "/debootstrap/debootstrap", "--second-stage"]
        # What is mounted already, debootstrap leaves alone; where its programs run, it could not.
        with mounted(log, "proc", folder), mounted(log, "sysfs", folder):
            # So debootstrap does not insist on making devices by itself.
            log.run(*second, environment=environment | {"container": "lxc"})
    log.run(*chroot(folder, machine), "apt-get", "clean")
    shutil.rmtree(folder / "usr/share/doc", ignore_errors=True)


def is_foreign(machine: str) -> bool:
    """True if programs of that processor do not run here by themselves."""
    return machine != platform.machine()


def chroot(root: Path, machine: str) -> list[str]:
    """How a command that runs in the image begins."""
    own = ["chroot", str(root)]
    return foreign.command(machine, *own) if is_foreign(machine) else own


def make_devices(root: Path) -> None:
    """What debootstrap makes in /dev, and could not in a user namespace: see null(4), tty(4)."""
    numbers = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8),
               "urandom": (1, 9), "tty": (5, 0), "console": (5, 1), "ptmx": (5, 2)}  # fmt: skip
    for name, (major, minor) in numbers.items():
        path = root / "dev" / name
        if not path.exists():
            os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(major, minor))
            path.chmod(0o666)


def configure(root: Path, machine: str) -> None:
    """Turn the Debian folder into this machine: unit, masks, names."""
    system = root / "etc/systemd/system"
    for unit in recipe.MASKED:
        (system / unit).unlink(missing_ok=True)
        (system / unit).symlink_to("/dev/null")
    (system / "mydocker-vm.service").write_text(recipe.UNIT)
    wanted = system / "multi-user.target.wants"
    wanted.mkdir(exist_ok=True)
    (wanted / "mydocker-vm.service").symlink_to("../mydocker-vm.service")
    (system / "default.target").unlink(missing_ok=True)
    (system / "default.target").symlink_to("/lib/systemd/system/multi-user.target")
    (root / "etc/hostname").write_text("mydocker-vm\n")
    (root / "etc/hosts").write_text(recipe.HOSTS)
    (root / "etc/fstab").write_text("")
    (root / "etc/machine-id").write_text(recipe.base_key(machine) * 2 + "\n")
    # Else every boot runs ldconfig and friends: systemd compares these with /usr (see
    # ConditionNeedsUpdate= in systemd.unit(5)).
    for folder in ("etc", "var"):
        (root / folder / ".updated").touch()
    # Tests run as ordinary users too, who have to reach the repository.
    (root / "root").chmod(0o755)


def set_up(log: Log, root: Path) -> None:
    """Let the project set itself up in the chroot: virtual environment and stamp."""
    say("setting the project up in the image: ./mydocker setup --test")
    target = root / recipe.REPOSITORY.lstrip("/")
    target.mkdir(parents=True)
    archive = repository.pack()
    log.run("tar", "-C", str(target), "-xf", f"/proc/{os.getpid()}/fd/{archive}")
    os.close(archive)
    settings = pip_configuration.environment(os.environ)
    settings |= {"MYDOCKER_VENV": recipe.VENV, "HOME": "/root", "LANG": "C.UTF-8"}
    sources = [*pip_configuration.to_bind(os.environ), "/etc/resolv.conf", "/etc/hosts"]
    with contextlib.ExitStack() as mounts:
        for source in sources:
            mounts.enter_context(bound(log, source, root))
        for kind in ("proc", "sysfs", "devtmpfs"):
            mounts.enter_context(mounted(log, kind, root))
        log.run("chroot", str(root), "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                *(f"{name}={value}" for name, value in settings.items()),
                f"{recipe.REPOSITORY}/mydocker", "setup", "--test")  # fmt: skip
    # Only the venv stays: each run unpacks the repository as it is then.
    shutil.rmtree(target)
    target.mkdir()


def set_up_foreign(log: Log, root: Path, machine: str) -> None:
    """The same for another processor, without running its programs, which would take an hour.

    pip can install what is made for another one; the rest of the set-up is a few small files.
    """
    say("setting the project up in the image, for another processor")
    (root / recipe.REPOSITORY.lstrip("/")).mkdir(parents=True)
    venv = root / recipe.VENV.lstrip("/")
    pip = root.parent / "pip"
    log.run(sys.executable, "-m", "venv", str(pip))
    # manylinux_2_36: built for the libc of Debian 12 or an older one
    platforms = [f"--platform=manylinux_2_{minor}_{machine}" for minor in range(36, 16, -1)]
    log.run(
        str(pip / "bin/python3"), "-m", "pip", "install", "--no-input",
        "--disable-pip-version-check", "--no-compile", "--only-binary=:all:",
        "--implementation=cp", f"--python-version={recipe.PYTHON}", *platforms,
        f"--platform=manylinux2014_{machine}",
        "--target", str(venv / f"lib/python{recipe.PYTHON}/site-packages"),
        *recipe.requirements(repository.ROOT),
    )  # fmt: skip
    shutil.rmtree(pip)
    (venv / "bin").mkdir()
    for name in ("python", "python3"):
        (venv / "bin" / name).symlink_to("/usr/bin/python3")
    (venv / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")
    for kind in ("run", "test"):  # as setup.sh writes them
        stamp = venv / f"stamp-{kind}"
        stamp.write_text(f"/usr/bin/python{recipe.PYTHON}\n")
        os.utime(stamp, (repository.PYPROJECT_TIME, repository.PYPROJECT_TIME))


@contextlib.contextmanager
def mounted(log: Log, kind: str, root: Path) -> Iterator[None]:
    """A kernel filesystem in its place in the chroot."""
    place = root / {"proc": "proc", "sysfs": "sys", "devtmpfs": "dev"}[kind]
    log.run("mount", "-t", kind, kind, str(place))
    try:
        yield
    finally:
        if place.is_mount():  # debootstrap cleans up behind itself too
            log.run("umount", str(place))


@contextlib.contextmanager
def bound(log: Log, source: str, root: Path) -> Iterator[None]:
    """A path of the host at the same place in the chroot, read-only; what was made for it goes."""
    real = Path(source).resolve()  # /etc/resolv.conf is often a link to somewhere in /run
    place = root / source.lstrip("/")
    made = [folder for folder in (place, *place.parents) if not os.path.lexists(folder)]
    place.parent.mkdir(parents=True, exist_ok=True)
    if real.is_dir():
        place.mkdir(exist_ok=True)
    else:
        place.touch()
    log.run("mount", "--bind", "-o", "ro", str(real), str(place))
    try:
        yield
    finally:
        log.run("umount", str(place))
        for path in made:
            path.rmdir() if path.is_dir() else path.unlink()


def build(cache: Path, folder: Path, mirror: str, machine: str) -> None:
    """Make base (once) and image, each under a temporary name and renamed when complete."""
    log = Log(cache / "build.log")
    base = cache / f"base-{recipe.base_key(machine)}"
    if not base.exists():
        unfinished = base.with_suffix(".building")
        unfinished.mkdir(mode=0o700)  # set-user-ID programs in there are nobody's business
        make_base(log, unfinished / "root", mirror, machine)
        unfinished.rename(base)

    unfinished = folder.with_suffix(".building")
    root = unfinished / "root"
    unfinished.mkdir(mode=0o700)
    log.run("cp", "-a", "--reflink=auto", str(base / "root"), str(root))
    if is_foreign(machine):
        set_up_foreign(log, root, machine)
    else:
        set_up(log, root)
    configure(root, machine)
    image = Image(unfinished)
    kernel = next((root / "lib/modules").iterdir()).name
    shutil.copyfile(root / f"boot/vmlinuz-{kernel}", image.kernel)
    image.initrd.write_bytes(initrd.build(root, kernel))
    say("writing the ext4 image")
    # No journal: no run's changes outlive it, so there is nothing to recover.
    log.run("mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-L", "mydocker-vm",
            "-E", "lazy_itable_init=1,nodiscard", "-m", "0", "-d", str(root),
            str(image.disk), recipe.IMAGE_SIZE)  # fmt: skip
    shutil.rmtree(root)
    unfinished.chmod(0o755)
    unfinished.rename(folder)


def main(arguments: list[str]) -> int:
    cache, folder, mirror, machine = arguments
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        build(Path(cache), Path(folder), mirror, machine)
    except VmError as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

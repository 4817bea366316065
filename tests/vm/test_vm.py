"""The VM script's arguments and pure functions; nothing here boots a machine."""

from __future__ import annotations

import os
import platform
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from sandbox.launcher import Launcher
from sandbox.machine import Sandbox

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from vm import cli, foreign, image, initrd, machine, pip_configuration, recipe, repository, wire  # noqa: E402


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "vm/run", *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ([], ["/bin/sh"]),
        (["--"], ["/bin/sh"]),
        (["shell"], ["/bin/sh"]),
        (["shell", "-c", "true"], ["shell", "-c", "true"]),
        (["ls", "--cgroup", "-l"], ["ls", "--cgroup", "-l"]),
        (["test"], ["./test"]),
        (["test", "02", "--", "-x"], ["./test", "02", "--", "-x"]),
        (
            ["test", "02", "--steps", "my", "--", "--memory", "1G"],
            ["./test", "02", "--steps", "my", "--", "--memory", "1G"],
        ),
        (["--", "test", "-d", "/proc"], ["test", "-d", "/proc"]),
    ],
)
def test_the_command(words: list[str], command: list[str]) -> None:
    options, found = cli.parse(["--cpus", "1", *words])
    assert options.cpus == 1
    assert options.memory == "2G"
    assert found == command


def test_options_among_the_words_of_test() -> None:
    words = ["--cpus", "1", "test", "--cgroup", "v1", "02", "--memory", "1G", "--", "-k", "x"]
    options, command = cli.parse(words)
    assert (options.cgroup, options.cpus, options.memory) == ("v1", 1, "1G")
    assert command == ["./test", "02", "--", "-k", "x"]


def test_the_launcher_hands_over(tmp_path: Path) -> None:
    """To the same program, and without a set-up of the machine outside."""
    environment = {**os.environ, "MYDOCKER_VENV": str(tmp_path / "none")}
    done = subprocess.run(
        [ROOT / "mydocker", "vm", "--cgroup", "v3"],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr == run("--cgroup", "v3").stderr
    assert not (tmp_path / "none").exists()


def test_the_command_line_knows_it(mydocker: Launcher) -> None:
    assert "virtual machine" in next(
        line for line in mydocker(5, "--help").stdout.splitlines() if line.split()[:1] == ["vm"]
    )
    command = [sys.executable, "-ESs", str(ROOT / "steps/05-cli/main.py"), "vm", "--cgroup", "v3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (125, run("--cgroup", "v3").stderr)


def test_steps_alone_have_no_vm(mydocker: Launcher, sandbox: Sandbox) -> None:
    if sandbox.steps == ROOT / "steps":
        pytest.skip("without the sandbox, the steps are the repository's own")
    done = mydocker(5, "vm", "true", code=125)
    assert "no virtual machine without the repository" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--memory", "lots"], "512M or 2G"),
        (["--memory", "0G"], "512M or 2G"),
        (["--cpus", "0"], "above 0"),
        (["--timeout", "-1"], "above 0"),
        (["--cgroup", "v3"], "hybrid"),
        (["--no-such-option"], "--no-such-option"),
    ],
)
def test_bad_arguments_are_one_line(arguments: list[str], said: str) -> None:
    done = run(*arguments, "--", "true")
    assert done.returncode == 125
    assert said in done.stderr
    assert done.stderr.startswith("vm: ")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_help_names_every_option() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert "mydocker vm" in done.stdout
    for word in ("--cgroup", "--memory", "--cpus", "--timeout", "--cache", "COMMAND", "125"):
        assert word in done.stdout


@pytest.mark.parametrize("size", [1, 2, 5, 100_000])
def test_frames_survive_any_cutting(size: int) -> None:
    sent = [(wire.STDOUT, b"out\0put" * 5000), (wire.STDERR, b""), (wire.EXIT, b"7")]
    stream = b"".join(wire.frame(kind, payload) for kind, payload in sent)
    frames = wire.Frames()
    received: list[tuple[bytes, bytes]] = []
    for start in range(0, len(stream), size):
        received += frames.feed(stream[start : start + size])
    assert received == sent


def test_the_kernel_command_line_chooses_the_hierarchy() -> None:
    processor = recipe.ARCHITECTURES["x86_64"]
    lines = {cgroup: machine.kernel_parameters(cgroup, processor) for cgroup in machine.CGROUPS}
    assert len(set(lines.values())) == 3
    assert "systemd.unified_cgroup_hierarchy=1" in lines["v2"]
    assert all("psi=1" in line.split() for line in lines.values())


@pytest.mark.parametrize("processor", recipe.ARCHITECTURES)
@pytest.mark.parametrize("accelerator", ["kvm", "tcg"])
def test_the_image_is_never_written(accelerator: str, processor: str, tmp_path: Path) -> None:
    settings = machine.Settings(memory="3G", cpus=5, accelerator=accelerator, machine=processor)
    command = machine.qemu_command(settings, image.Image(tmp_path), 11, 12, 13)
    (disk,) = [word for word in command if "root.ext4" in word]
    assert "snapshot=on" in disk.split(",")
    assert command[command.index("-m") + 1] == "3G"
    assert command[command.index("-smp") + 1] == "5"
    assert command[command.index("-accel") + 1].split(",")[0] == accelerator
    assert command[0] == f"qemu-system-{processor}"
    console = {"x86_64": "ttyS0", "aarch64": "ttyAMA0"}[processor]
    assert f"console={console}" in command[command.index("-append") + 1].split()


def test_another_processor_is_emulated(tmp_path: Path) -> None:
    (other,) = set(recipe.ARCHITECTURES) - {platform.machine()}
    assert machine.accelerators(tmp_path, other) == ["tcg"]
    assert recipe.base_key(other) != recipe.base_key(platform.machine())
    assert image.is_foreign(other) and not image.is_foreign(platform.machine())
    command = image.chroot(tmp_path, other)
    assert command[-2:] == image.chroot(tmp_path, platform.machine()) == ["chroot", str(tmp_path)]
    assert command[-3] == other


@pytest.mark.parametrize("processor", recipe.ARCHITECTURES)
def test_the_rule_for_foreign_programs(processor: str) -> None:
    """It takes programs of that processor and no others, above all not our own."""
    magic, mask = (
        field.encode().decode("unicode_escape").encode("latin-1")
        for field in foreign.rule(processor, "/q").split(":")[4:6]
    )
    assert len(magic) == len(mask) == 20  # up to e_machine
    python = Path("/proc/self/exe").read_bytes()[:20]
    taken = all(a & m == b & m for a, b, m in zip(python, magic, mask, strict=True))
    assert taken == (processor == platform.machine())


def test_modules_are_loaded_after_what_they_need() -> None:
    # the last dependency in a line of modules.dep has to be loaded first
    table = "a/virtio_blk.ko: a/ring.ko a/virtio.ko\na/virtio-pci.ko: a/ring.ko\nb/other.ko:\n"
    files = initrd.module_files(table, ("virtio_blk", "virtio_pci", "builtin"))
    assert files == ["a/virtio.ko", "a/ring.ko", "a/virtio_blk.ko", "a/virtio-pci.ko"]


def test_cpio_reads_our_initrd(tmp_path: Path) -> None:
    """Busybox has a cpio of its own, and is there on any machine that is set up."""
    entries = [
        ("dir", stat.S_IFDIR | 0o755, b""),
        ("dir/odd", stat.S_IFREG | 0o755, b"12345"),
        ("last", stat.S_IFREG | 0o644, b""),
    ]
    unpack = ["busybox", "cpio", "-i", "-d"]
    archive = initrd.archive(entries)
    subprocess.run(unpack, input=archive, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "dir/odd").read_bytes() == b"12345"
    assert (tmp_path / "dir/odd").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "last").read_bytes() == b""


def test_what_pip_needs_from_the_host(tmp_path: Path) -> None:
    for name in ("wheels", "index/simple", "certificates"):
        (tmp_path / name).mkdir(parents=True)
    configuration = tmp_path / "xdg/pip/pip.conf"
    configuration.parent.mkdir(parents=True)
    configuration.write_text(
        f"[global]\nfind-links = {tmp_path}/wheels\n  https://example.org/more\n"
        f"[install]\nextra-index-url = file://{tmp_path}/index/simple\n"
    )
    variables = {
        "HOME": str(tmp_path),
        "XDG_CONFIG_DIRS": str(tmp_path / "xdg"),
        "PIP_CERT": f"{tmp_path}/certificates",
        "PIP_FIND_LINKS": f"{tmp_path}/nothing-here",
        "SECRET": str(tmp_path),
    }
    bound = set(pip_configuration.to_bind(variables))
    ours = {str(tmp_path / name) for name in ("wheels", "index", "certificates")}
    assert ours | {str(configuration)} <= bound
    assert not {f"{tmp_path}/nothing-here", str(tmp_path)} & bound
    assert "SECRET" not in pip_configuration.environment(variables)


def repository_in(folder: Path) -> Path:
    """A small git repository: one file changed, one new, one ignored, one deleted."""
    subprocess.run(["git", "init", "-q", folder], check=True)
    (folder / "pyproject.toml").write_text("old")
    (folder / "deleted").write_text("")
    subprocess.run(["git", "-C", folder, "add", "."], check=True)
    (folder / "deleted").unlink()
    (folder / "pyproject.toml").write_text("changed")
    (folder / ".gitignore").write_text("ignored\n")
    for name in ("new", "ignored"):
        (folder / name).write_text("")
    return folder


def test_the_working_tree_is_packed(tmp_path: Path) -> None:
    descriptor = repository.pack(repository_in(tmp_path))
    with (
        open(descriptor, "rb") as packed,
        tarfile.open(fileobj=packed) as archive,
    ):
        assert archive.getnames() == [".gitignore", "new", "pyproject.toml"]
        project = archive.getmember("pyproject.toml")
        content = archive.extractfile(project)
        assert content and content.read() == b"changed"
        assert (project.uid, project.gid, project.mtime) == (0, 0, repository.PYPROJECT_TIME)


def test_a_checkout_without_git_is_packed_too(tmp_path: Path) -> None:
    (tmp_path / "steps/__pycache__").mkdir(parents=True)
    for name in ("test", "steps/main.py", "steps/__pycache__/main.pyc"):
        (tmp_path / name).write_text("")
    assert repository.file_names(tmp_path) == ["steps/main.py", "test"]


def test_the_key_follows_what_is_installed(tmp_path: Path) -> None:
    project = '[project]\nversion = "{}"\ndependencies = ["{}"]\n'
    keys = []
    for version, dependency in (("1", "click"), ("2", "click"), ("2", "rich")):
        (tmp_path / "pyproject.toml").write_text(project.format(version, dependency))
        keys.append(recipe.image_key(tmp_path))
    assert keys[0] == keys[1], "a new version number is no reason for a new image"
    assert keys[1] != keys[2]
    (tmp_path / "setup.sh").write_text("")
    assert recipe.image_key(tmp_path) != keys[2]

"""What another user of this machine gets to see of containers: nothing, and nothing to execute.

The root of a layer that a container wrote is not the root of this machine's files by its owner
alone: a set-user-ID program in it would make any user root who can reach it (CVE-2021-41091).
"""

import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sandbox import strace
from sandbox.archives import Tar
from sandbox.containers import Containers
from sandbox.launcher import Launcher, eventually
from sandbox.machine import Sandbox

pytestmark = pytest.mark.root

SOMEBODY: Any = {"user": 12345, "group": 12345, "extra_groups": []}
SECRET = "PASSWORD=only-for-web"
# What a container's own users read, whoever they are on this machine: behind closed doors.
FOR_CONTAINERS = re.compile(
    r"/overlay2/[0-9a-f]{64}(/(diff|work|merged|link|lower)(/.*)?)?$"
    r"|/volumes/[^/]+/_data(/.*)?$|/containers/[0-9a-f]{64}/(hosts|hostname|resolv\.conf)$"
)


def as_somebody(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command], capture_output=True, text=True, cwd="/", check=False, **SOMEBODY
    )


def left_open(*tops: Path) -> list[str]:
    """What has a bit for others, but for what containers read."""
    found = []
    for top in tops:
        for directory, below, files in os.walk(top):
            for path in [directory, *(f"{directory}/{name}" for name in (*below, *files))]:
                status = os.lstat(path)
                if stat.S_ISLNK(status.st_mode) or not status.st_mode & 0o007:
                    continue
                if not FOR_CONTAINERS.search(path):
                    found.append(f"{stat.S_IMODE(status.st_mode):o} {path}")
    return sorted(set(found))


@pytest.fixture
def web(docker: Containers, sandbox: Sandbox) -> Iterator[str]:
    """A running container with a secret, a volume, and a program that makes its caller root."""
    script = "cp /bin/busybox /id; chmod 4755 /id; cp -a /id /files; echo told; sleep 99"
    options = ["--name", "web", "-e", SECRET, "-v", "files:/files"]
    made = docker.run(*options, "busybox", "sh", "-c", script)
    eventually(lambda: docker("logs", "web").stdout == "told\n")
    yield made
    docker("rm", "-f", "web", code=None)
    docker("volume", "rm", "files", code=None)


def places(sandbox: Sandbox, made: str) -> dict[str, Path]:
    root = sandbox.root
    return {
        "list": root / "containers",
        "config": root / "containers" / made / "config.json",
        "state": root / "containers" / made / "state.json",
        "log": root / "containers" / made / f"{made}-json.log",
        "index": root / "image/index.json",
        "layer": root / "overlay2" / made / "diff/id",
        "merged": root / "overlay2" / made / "merged/id",
        "volume": root / "volumes/files/_data/id",
        "record": sandbox.run / made / "state.json",
        "socket": sandbox.run / "monitors" / made,
    }


def test_another_user_reads_lists_and_executes_nothing(
    docker: Containers, sandbox: Sandbox, web: str
) -> None:
    found = places(sandbox, web)
    for name, path in found.items():
        assert path.exists(), name
        refused = as_somebody("ls", "-la", path)
        assert "Permission denied" in refused.stderr and not refused.stdout, name
        if path.is_file():
            assert "Permission denied" in as_somebody("cat", path).stderr, name
    for name in ("layer", "merged", "volume"):
        status = os.stat(found[name])
        assert status.st_mode & stat.S_ISUID and status.st_uid == 0, "it would make one root"
        with pytest.raises(PermissionError):
            as_somebody(found[name])


def test_each_door_is_closed_by_itself(sandbox: Sandbox, web: str) -> None:
    """Who stood in a directory below before it was closed from above does not pass the top."""
    assert stat.S_IMODE(sandbox.root.stat().st_mode) == 0o710
    assert (sandbox.root.stat().st_uid, sandbox.root.stat().st_gid) == (0, 0)
    assert stat.S_IMODE(sandbox.run.stat().st_mode) == 0o700
    assert left_open(sandbox.root, sandbox.run) == []
    for name, path in places(sandbox, web).items():
        if name in ("config", "state", "log", "index", "record"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, name
    for name in ("containers", "image", "overlay2", "volumes"):
        assert stat.S_IMODE((sandbox.root / name).stat().st_mode) == 0o700, name


@pytest.mark.parametrize("umask", [0, 0o077])
def test_whatever_the_umask_nothing_is_open_and_the_container_reads_its_own(
    mydocker: Launcher, docker: Containers, tmp_path: Path, umask: int
) -> None:
    root, run = tmp_path / "root", tmp_path / "run"
    environment = {"MYDOCKER_ROOT": str(root), "MYDOCKER_RUN": str(run)}
    script = "cat /etc/hosts /etc/hostname /etc/resolv.conf >/dev/null && echo read"
    options = ["-u", "1000", "-v", "files:/files", "-e", SECRET]
    try:
        done = mydocker(
            5, "run", *options, "busybox", "sh", "-c", script, env=environment, umask=umask
        )
        assert done.stdout == "read\n"
        assert stat.S_IMODE(root.stat().st_mode) == 0o710
        assert left_open(root, run) == []
    finally:
        for container in mydocker(5, "ps", "-aq", env=environment).stdout.split():
            mydocker(5, "rm", "-f", container, env=environment)
        mydocker(5, "system", "prune", "-f", env=environment)
        mydocker(5, "network", "prune", "-f", env=environment)


def test_nothing_is_open_for_a_moment(mydocker: Launcher, tmp_path: Path) -> None:
    """What is closed is closed from the call on that makes it: there is no moment to be fast in."""
    root, run = tmp_path / "root", tmp_path / "run"
    environment = {"MYDOCKER_ROOT": str(root), "MYDOCKER_RUN": str(run)}
    command = mydocker.argv(
        5, "run", "--rm", "--net", "none", "-v", "files:/files", "-e", SECRET, "busybox", "true"
    )
    tracer = ["strace", "-ff", "-qq", "-y", "-s", "4096", "-o", str(tmp_path / "trace")]
    tracer += ["-e", "trace=mkdir,mkdirat,open,openat,openat2,open_tree,fsmount,creat"]
    subprocess.run([*tracer, *command], env=mydocker.environment(environment), umask=0, check=True)
    seen, opened = 0, []
    for process in strace.read(tmp_path / "trace").values():
        for call in process.calls:
            making = call.name.startswith("mkdir") or any("O_CREAT" in a for a in call.arguments)
            path = next((a for a in call.arguments if a.startswith("/")), "")
            if call.error or not making or not path.startswith((f"{root}/", f"{run}/")):
                continue
            seen += 1
            mode = int(call.arguments[-1], 8)
            work = path.startswith(f"{root}/tmp/")  # behind a door of its own
            outside = not work and not FOR_CONTAINERS.search(path)
            if mode & 0o007 and outside:
                opened.append(f"{call.name} {mode:o} {path}")
    assert seen > 10 and opened == []


def open_all(*tops: Path) -> None:
    """As an earlier version left it."""
    for top in tops:
        for directory, _, files in os.walk(top):
            if "/diff" not in directory and "_data" not in directory:
                os.chmod(directory, 0o755 if directory.endswith("containers") else 0o711)
            for name in files:
                if name != "volume.json" and not os.path.islink(f"{directory}/{name}"):
                    os.chmod(f"{directory}/{name}", os.stat(f"{directory}/{name}").st_mode | 0o044)


@pytest.mark.parametrize("command", [["ps"], ["images"], ["volume", "ls"], ["network", "ls"]])
def test_the_next_command_closes_what_an_earlier_version_left_open(
    docker: Containers, sandbox: Sandbox, web: str, command: list[str]
) -> None:
    open_all(sandbox.root)
    program = places(sandbox, web)["layer"]
    assert as_somebody(program, "-u").stdout == "12345\n" and left_open(sandbox.root)
    docker(*command)
    assert left_open(sandbox.root) == [] and stat.S_IMODE(sandbox.root.stat().st_mode) == 0o710
    assert "Permission denied" in as_somebody("ls", program).stderr
    assert stat.S_IMODE(program.stat().st_mode) == 0o4755, "what is a container's stays as it is"
    assert docker("exec", "web", "cat", "/etc/hostname").stdout.strip() == web[:12]


def test_the_next_run_closes_the_run_directory(docker: Containers, sandbox: Sandbox) -> None:
    docker("run", "--rm", "--net", "none", "busybox", "true")
    os.chmod(sandbox.run, 0o755)
    docker("run", "--rm", "--net", "none", "busybox", "true")
    assert stat.S_IMODE(sandbox.run.stat().st_mode) == 0o700


def test_a_mend_that_was_killed_is_begun_again(docker: Containers, sandbox: Sandbox) -> None:
    docker("create", "--name", "web", "busybox")
    open_all(sandbox.root)
    os.chmod(sandbox.root, 0o700)  # the first that a mend does
    docker("ps")
    assert left_open(sandbox.root) == [] and stat.S_IMODE(sandbox.root.stat().st_mode) == 0o710


def test_it_costs_one_look_once_all_is_closed(
    mydocker: Launcher, docker: Containers, sandbox: Sandbox, tmp_path: Path
) -> None:
    docker("create", "--name", "web", "busybox")
    trace = tmp_path / "trace"
    tracer = [
        "strace",
        "-f",
        "-qq",
        "-o",
        str(trace),
        "-e",
        "trace=chmod,fchmod,fchmodat,getdents64",
    ]
    command = [*tracer, *mydocker.argv(5, "images", "-q")]
    subprocess.run(command, env=mydocker.environment(), stdout=subprocess.DEVNULL, check=True)
    assert "chmod" not in trace.read_text()


def test_a_directory_with_other_things_in_it_is_not_closed(
    mydocker: Launcher, tmp_path: Path
) -> None:
    """MYDOCKER_ROOT may name any: what we made in it is closed, and not more."""
    shared, run = tmp_path / "shared", tmp_path / "run"
    for place in (shared, run):
        place.mkdir(mode=0o755)
        place.chmod(0o755)
        (place / "letter").write_text("to all")
    environment = {"MYDOCKER_ROOT": str(shared), "MYDOCKER_RUN": str(run)}
    for _ in range(2):
        mydocker(5, "run", "--rm", "--net", "none", "busybox", "true", env=environment)
        open_all(shared)
    mydocker(5, "ps", env=environment)
    assert stat.S_IMODE(shared.stat().st_mode) == 0o711 and (shared / "letter").exists()
    assert stat.S_IMODE(run.stat().st_mode) == 0o755
    assert {path.split("/", 1)[1] for path in left_open(shared)} == {
        str(shared)[1:], f"{shared}/letter"[1:]
    }  # fmt: skip
    shutil.rmtree(shared)


def test_the_sandbox_of_a_user_namespace_reaches_its_own(
    mydocker: Launcher, docker: Containers, tmp_path: Path
) -> None:
    """Its root is another user of this machine; its root directory and its volumes are its own."""
    tar = Tar()
    for name in ("bin", "dev", "proc", "sys", "etc", "mnt", "files", "tmp"):
        tar.directory(name, uid=100000, gid=100000)
    tar.add("bin/busybox", Path("/bin/busybox").read_bytes(), mode=0o755, uid=100000)
    for name in ("hosts", "hostname", "resolv.conf"):
        tar.add(f"etc/{name}", uid=100000, gid=100000)
    docker("import", str(tar.write(tmp_path / "own.tar")), "own")
    secret = tmp_path / "closed"
    secret.mkdir(mode=0o700)
    (secret / "shown").mkdir()
    (secret / "shown/page").write_text("shown to the container\n")
    maps = ["--uid-map", "0:100000:65536", "--gid-map", "0:100000:65536"]
    script = "b=/bin/busybox; $b id -u; $b cat /etc/hostname /mnt/page; $b ls -d /files"
    said = docker(
        "run", "--rm", "--init", "--hostname", "box", *maps, "-v", "files:/files",
        "-v", f"{secret}/shown:/mnt", "own", "/bin/busybox", "sh", "-c", script,
    ).stdout  # fmt: skip
    assert said.splitlines() == ["0", "box", "shown to the container", "/files"]
    docker("volume", "rm", "files")


@pytest.mark.parametrize(
    "command",
    [
        ["ps"], ["images"], ["inspect", "web"], ["start", "web"], ["rm", "-f", "web"],
        ["logs", "web"], ["exec", "web", "id"], ["cp", "web:/etc/passwd", "-"], ["volume", "ls"],
        ["network", "ls"], ["events", "--since", "1", "--until", "2"], ["run", "busybox", "true"],
        ["system", "df"], ["commit", "web", "x"], ["tag", "busybox", "x"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_another_user_is_told_why_in_one_line(
    mydocker: Launcher, docker: Containers, command: list[str]
) -> None:
    docker("create", "--name", "web", "busybox")
    refused = mydocker(5, *command, code=None, **SOMEBODY)
    assert refused.returncode and not refused.stdout
    assert "ermission denied" in refused.stderr and "sudo" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1

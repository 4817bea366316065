"""Other people's tools as judges: docker, podman, skopeo, umoci, where they are installed.

Each works on data of its own below a temporary directory, in the suite's own namespaces.
"""

import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sandbox.archives import tree
from sandbox.containers import Containers
from sandbox.machine import Sandbox

from mydocker.kernel import syscalls

pytestmark = pytest.mark.root

SCRIPT = """
mkdir -p /d/e /opaque; echo hi > /d/f; ln /d/f /d/g; ln -s f /d/s; chmod 4750 /d/f
rm /bin/wget; rm -rf /var/log; mkdir /var/log; echo new > /var/log/n; mkfifo /d/p
chown 12:34 /d/e; echo more >> /usr/share/udhcpc/default.script 2>/dev/null; chmod 700 /home
"""
CHANGES = [
    'CMD ["sh", "-c", "cat /d/f"]',
    "ENV A=1 B=two",
    "EXPOSE 80",
    "LABEL one=1",
    "USER 7:8",
    "VOLUME /data",
    "WORKDIR /d",
    "ONBUILD RUN true",
]


def needs(*programs: str) -> None:
    for program in programs:
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")


def output(*command: Any, **options: Any) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return str(done.stdout)


@pytest.fixture
def saved(docker: Containers, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """An image of two layers, saved in both forms."""
    docker("run", "--name", "box", "--net", "none", "busybox", "sh", "-c", SCRIPT)
    words = [word for change in CHANGES for word in ("-c", change)]
    docker("commit", "-m", "why", "-a", "me", *words, "box", "judged:1")
    docker("save", "-o", str(tmp_path / "docker.tar"), "judged:1")
    docker("save", "--format", "oci", "-o", str(tmp_path / "oci.tar"), "judged:1")
    found: dict[str, Any] = json.loads(docker("image", "inspect", "judged:1").stdout)[0]
    yield found
    docker("rm", "box")
    docker("rmi", "-f", "judged:1", code=None)


@pytest.fixture(scope="module")
def dockerd(sandbox: Sandbox) -> Iterator[list[str]]:
    """The command ``docker`` with a daemon of its own."""
    needs("dockerd", "docker")
    place = sandbox.directory / "dockerd"
    place.mkdir()
    # Where it writes whatever it is told: the rest of the disk is not to be written here.
    places = [where for where in ("/run", "/etc/docker") if os.path.isdir(where)]
    for where in places:
        syscalls.mount("tmpfs", where, "tmpfs", 0, "mode=755")
    # Not one of the names of the suite, which each test looks for: it stays for all of this file.
    socket, group = f"unix://{place}/sock", f"dockerd-of-a-test-{os.getpid()}"
    words = ["--data-root", f"{place}/data", "--exec-root", f"{place}/exec", "--pidfile",
             f"{place}/pid", "--iptables=false", "--bridge=none",
             "--cgroup-parent", group]  # fmt: skip
    with (place / "log").open("wb") as log:
        daemon = subprocess.Popen(["dockerd", "-H", socket, *words], stdout=log, stderr=log)
    command = ["docker", "-H", socket]
    try:
        for _ in range(600):
            if subprocess.run([*command, "version"], capture_output=True).returncode == 0:
                break
            if daemon.poll() is not None:
                pytest.skip("dockerd does not start here: " + (place / "log").read_text()[-300:])
            time.sleep(0.1)
        yield command
    finally:
        daemon.terminate()
        daemon.wait(30)
        remove_group(group)
        for where in places:
            syscalls.umount2(where, syscalls.MNT_DETACH)


def remove_group(name: str) -> None:
    """The group in which the daemon has made its containers' groups, in each hierarchy."""
    tree = Path("/sys/fs/cgroup")
    for top in (*tree.glob(f"*/{name}"), *tree.glob(name)):
        for directory, _, _ in os.walk(top, topdown=False):
            os.rmdir(directory)


def top_layer(archive: Path) -> dict[str, tuple[Any, ...]]:
    """The files of the last layer of an archive of ``save``, but for their times."""
    with tarfile.open(archive) as outer:
        names = outer.getnames()
        table = json.loads(_read(outer, "manifest.json"))[0]
        name = table["Layers"][-1]
        assert name in names
        member = outer.extractfile(name)
        assert member
        with tarfile.open(fileobj=member) as tar:
            return {
                m.name: (m.type, "" if ".wh." in m.name else oct(m.mode & 0o7777), m.uid, m.gid,
                         m.size, m.linkname)
                for m in tar
            }  # fmt: skip


def _read(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    assert file
    return file.read()


def configuration(archive: Path) -> dict[str, Any]:
    with tarfile.open(archive) as outer:
        table = json.loads(_read(outer, "manifest.json"))[0]
        found: dict[str, Any] = json.loads(_read(outer, table["Config"]))
    return found


def test_docker_takes_what_we_save_and_we_what_it_saves(
    docker: Containers, saved: dict[str, Any], dockerd: list[str], tmp_path: Path
) -> None:
    assert output(*dockerd, "load", "-i", tmp_path / "docker.tar") == "Loaded image: judged:1\n"
    told = json.loads(output(*dockerd, "image", "inspect", "judged:1"))[0]
    assert told["Id"] == saved["Id"]
    assert told["RootFS"]["Layers"] == saved["RootFS"]["Layers"]
    history = output(*dockerd, "history", "--format", "{{.Comment}}", "judged:1").splitlines()
    assert history[0] == "why" and len(history) == 2
    ran = output(*dockerd, "run", "--rm", "--network", "none", "-u", "0", "judged:1", "stat", "-c",
                 "%a %h", "/d/f")  # fmt: skip
    assert ran == "4750 2\n"
    output(*dockerd, "save", "-o", tmp_path / "theirs.tar", "judged:1")
    docker("rmi", "judged:1")
    assert docker("load", "-i", str(tmp_path / "theirs.tar")).stdout == "Loaded image: judged:1\n"
    again = json.loads(docker("image", "inspect", "judged:1").stdout)[0]
    assert (again["Id"], again["RootFS"]) == (saved["Id"], saved["RootFS"])
    said = docker("run", "--rm", "--net", "none", "-u", "0", "judged:1").stdout
    assert said == "hi\n"


def test_the_same_commit_as_docker_s(
    docker: Containers, saved: dict[str, Any], dockerd: list[str], tmp_path: Path
) -> None:
    docker("save", "-o", str(tmp_path / "base.tar"), "busybox:latest")
    output(*dockerd, "load", "-i", tmp_path / "base.tar")
    output(*dockerd, "run", "--name", "box", "--network", "none", "busybox", "sh", "-c", SCRIPT)
    words = [word for change in CHANGES for word in ("-c", change)]
    output(*dockerd, "commit", "-m", "why", "-a", "me", *words, "box", "theirs:1")
    output(*dockerd, "save", "-o", tmp_path / "theirs.tar", "theirs:1")
    assert top_layer(tmp_path / "docker.tar") == top_layer(tmp_path / "theirs.tar")
    ours, theirs = (configuration(tmp_path / name) for name in ("docker.tar", "theirs.tar"))
    mine = ours["config"]
    for key, value in theirs["config"].items():
        if value and key not in ("Hostname", "Image", "AttachStdout", "AttachStderr"):
            assert mine.pop(key) == value, key
    assert mine == {}
    for key in ("author", "os", "architecture"):
        assert ours[key] == theirs[key]
    (mine, his) = (one["history"][-1] for one in (ours, theirs))
    assert {k: v for k, v in mine.items() if k != "created"} == {
        k: v for k, v in his.items() if k != "created"
    }
    output(*dockerd, "rm", "box")


def test_podman_takes_what_we_save_and_we_what_it_saves(
    docker: Containers, saved: dict[str, Any], tmp_path: Path
) -> None:
    needs("podman")
    place = Path(tempfile.mkdtemp(dir="/var/tmp"))  # podman takes at most 50 characters
    words = ["--root", place / "p", "--runroot", place / "pr", "--tmpdir", place / "pt",
             "--cgroup-manager", "cgroupfs", "--events-backend", "none", "--network-config-dir",
             place / "net"]  # fmt: skip
    podman = ["podman", *map(str, words)]
    try:
        for form in ("docker", "oci"):
            said = output(*podman, "load", "-i", tmp_path / f"{form}.tar")
            name = said.split(": ")[1].strip()
            assert name in ("localhost/judged:1", "docker.io/library/judged:1")
            told = json.loads(output(*podman, "image", "inspect", name))[0]
            assert "sha256:" + told["Id"] == saved["Id"]
            assert told["RootFS"]["Layers"] == saved["RootFS"]["Layers"]
        docker("rmi", "judged:1")
        for form in ("docker-archive", "oci-archive"):
            archive = tmp_path / f"{form}.tar"
            output(*podman, "save", "--format", form, "-o", archive, name)
            mine = docker("load", "-i", str(archive)).stdout.split(": ")[1].strip()
            told = json.loads(docker("image", "inspect", mine).stdout)[0]
            assert (told["Id"], told["RootFS"]) == (saved["Id"], saved["RootFS"])
            docker("rmi", mine)
    finally:
        subprocess.run([*podman, "rmi", "-af"], capture_output=True)
        subprocess.run(["umount", place / "p/overlay"], capture_output=True)
        shutil.rmtree(place, ignore_errors=True)


def test_skopeo_and_umoci(docker: Containers, saved: dict[str, Any], tmp_path: Path) -> None:
    needs("skopeo", "umoci")
    told = json.loads(output("skopeo", "inspect", f"docker-archive:{tmp_path}/docker.tar"))
    assert told["Layers"] == saved["RootFS"]["Layers"] and told["Labels"] == {"one": "1"}
    output("skopeo", "copy", f"oci-archive:{tmp_path}/oci.tar", f"oci:{tmp_path}/layout:1")
    output("umoci", "unpack", "--image", f"{tmp_path}/layout:1", tmp_path / "bundle")
    docker("export", "-o", str(tmp_path / "x.tar"), docker("create", "judged:1").stdout.strip())
    (tmp_path / "out").mkdir()
    output("tar", "-C", tmp_path / "out", "-xpf", tmp_path / "x.tar")
    ours, theirs = tree(tmp_path / "out"), tree(tmp_path / "bundle/rootfs")
    assert sorted(ours) == sorted(theirs)
    for name, told_here in ours.items():
        mode, owner, _, device, content, _, same = told_here
        other = theirs[name]
        assert (mode, owner[:2], device, content, same) == (
            other[0], other[1][:2], *other[3:5], other[6]), name  # fmt: skip
    # and back, with compressed layers: skopeo packs them with gzip
    output("tar", "-C", tmp_path / "layout", "-cf", tmp_path / "back.tar", ".")
    docker("rmi", "-f", "judged:1")
    assert saved["Id"] in docker("load", "-i", str(tmp_path / "back.tar")).stdout
    docker("rm", *docker("ps", "-aqf", f"ancestor={saved['Id']}").stdout.split(), code=None)
    docker("rmi", "-f", saved["Id"], code=None)
    assert os.listdir(tmp_path)

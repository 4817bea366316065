"""``--storage-opt size=``: by project quotas where the filesystem has them, else an honest error.

The filesystems with quotas are made in files, on loop devices. A kernel without quotas cannot mount
them; the virtual machine (``vm/run test 05``) has one that can.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox.containers import Containers
from sandbox.launcher import Launcher, eventually
from sandbox.machine import Sandbox

from mydocker.engine.cleaning import leftovers
from mydocker.engine.cleaning.leftover import Place
from mydocker.kernel import quota

pytestmark = pytest.mark.root

MIB = 1 << 20
FIRST = 0x6D640000
MKFS = {
    "ext4": ["mkfs.ext4", "-q", "-O", "quota,project", "-E", "quotatype=prjquota"],
    "xfs": ["mkfs.xfs", "-q"],
}


@pytest.fixture(params=MKFS)
def limited(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    mydocker: Launcher,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Containers]:
    """mydocker with its data on a filesystem of that kind, with project quotas."""
    make = MKFS[request.param]
    tool = shutil.which(make[0], path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if tool is None:
        pytest.skip(f"{make[0]} is not installed")
    file, root = tmp_path / "disk", tmp_path / "root"
    with file.open("wb") as disk:
        disk.truncate(400 * MIB)
    subprocess.run([tool, *make[1:], file], check=True)
    root.mkdir()
    mount = ["mount", "-t", request.param, "-o", "loop,prjquota", file, root]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode or not quota.enforced(str(root)):
        subprocess.run(["umount", root], capture_output=True)
        pytest.skip(f"this kernel has no project quotas of {request.param}: {done.stderr.strip()}")
    monkeypatch.setenv("MYDOCKER_ROOT", str(root))
    containers = Containers(mydocker)
    try:
        yield containers
    finally:
        containers.clear()
        subprocess.run(["umount", root], check=True)


def test_a_container_may_write_so_much_and_no_more(limited: Containers) -> None:
    options = ("--net", "none", "--storage-opt", "size=10M")
    fill = "df -k / | tail -1; dd if=/dev/zero of=/big bs=1M count=20 2>&1; echo $?; wc -c < /big"
    done = limited("run", "--name", "small", *options, "busybox", "sh", "-c", fill, code=None)
    assert done.returncode == 0 and ("exceeded" in done.stdout or "No space" in done.stdout)
    lines = done.stdout.splitlines()
    assert abs(int(lines[0].split()[1]) - 10240) < 200, lines  # KiB: what df(1) says in there
    assert lines[-2] == "1" and 8 * MIB < int(lines[-1]) <= 10 * MIB, lines
    assert limited.get("small", "{{json .HostConfig.StorageOpt}}") == '{"size":"10M"}'
    # It can be started again, and another container has a number of its own.
    limited("start", "small")
    limited("wait", "small")
    write = "dd if=/dev/zero of=/big bs=1M count=9"
    limited("run", "--name", "other", *options, "busybox", "sh", "-c", write)
    assert projects() == [FIRST, FIRST + 1]
    root = os.environ["MYDOCKER_ROOT"]
    used, limit = quota.usage(root, FIRST + 1)
    assert limit == 10 * MIB and 9 * MIB <= used <= 10 * MIB
    limited("run", "--rm", "--net", "none", "busybox", "dd", "if=/dev/zero", "of=/b", "bs=1M",
            "count=15")  # fmt: skip
    limited("rm", "small")
    eventually(lambda: unused(FIRST))
    limited("create", "--name", "third", *options, "busybox", "true")
    assert projects() == [FIRST, FIRST + 1]
    limited("cp", "/usr/bin/env", "third:/env")
    assert quota.usage(root, FIRST)[0] > 0
    limited("rm", "other", "third")
    assert projects() == []
    eventually(lambda: unused(FIRST + 1))


def unused(project: int) -> bool:
    """Neither use nor limit. xfs gives the space of a deleted file back a moment later."""
    return quota.usage(os.environ["MYDOCKER_ROOT"], project) == (0, 0)


def projects() -> list[int]:
    root = Path(os.environ["MYDOCKER_ROOT"])
    return sorted(int(file.read_text()) for file in root.glob("overlay2/*/project"))


def test_killed_at_a_request_of_the_limit(limited: Containers, sandbox: Sandbox) -> None:
    words = ["--storage-opt", "size=10M", "--net", "none", "busybox", "true"]
    limited("run", "--rm", *words)  # the image is made once
    told = limited("run", "--rm", "--explain", *words).stderr
    about = r"^ *(\d+) (?:host|container) .*(?:quotactl_fd|FS_IOC_FSSETXATTR|/project\")"
    numbers = [int(number) for number in re.findall(about, told, re.M)]
    assert len(numbers) == 5, told  # one file, two directories, the limit, and the limit taken away
    root = os.environ["MYDOCKER_ROOT"]
    for k in (*numbers, numbers[-1] + 1):
        limited("run", "--rm", *words, code=None, env={"MYDOCKER_FAULT": f"kill:{k}"})
        limited("system", "prune", "-f")
        assert projects() == [], f"killed at {k}"
        eventually(lambda: unused(FIRST))
        eventually(lambda: leftovers.find(Place(root, str(sandbox.run))) == [])


def test_without_project_quotas_it_is_an_error(docker: Containers, sandbox: Sandbox) -> None:
    if quota.enforced(str(sandbox.root)):
        pytest.skip("this machine has them where the suite's data is")
    for verb in ("run", "create"):
        done = docker(verb, "--storage-opt", "size=1G", "busybox", "true", code=125)
        assert done.stderr.count("\n") == 1 and "project quotas" in done.stderr, done
        assert "prjquota" in done.stderr
    assert docker("ps", "-aq").stdout == ""


@pytest.mark.parametrize(
    ("written", "expected"),
    [("size=lots", "invalid size: 'lots'"), ("size", "unknown option"), ("inodes=5", "unknown")],
)
def test_what_is_no_storage_option(docker: Containers, written: str, expected: str) -> None:
    done = docker("run", "--storage-opt", written, "busybox", "true", code=125)
    assert expected in done.stderr and done.stderr.count("\n") == 1
    assert docker("ps", "-aq").stdout == ""

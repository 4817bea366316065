"""Files of a container that are damaged while it runs: what the kernel says outweighs them."""

import os
import random
import resource
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest
from sandbox.containers import Containers
from sandbox.groups import called
from sandbox.launcher import eventually
from sandbox.machine import Sandbox
from sandbox.patience import patience

from mydocker.engine.records import events
from mydocker.engine.records.config import unknown
from mydocker.engine.records.store import Store
from mydocker.kernel import whole
from mydocker.overlay2.images import ImageStore

pytestmark = pytest.mark.root
SLEEP = ("busybox", "sleep", "1000")
ROUNDS = int(os.environ.get("MYDOCKER_TEST_ROUNDS", "1"))
DAMAGES = {
    "empty": b"",
    "half": b'{"status": "runn',
    "null": b"null",
    "an empty object": b"{}",
    "another's": b'{"status": "resting", "process": 7}',
    "binary": bytes(range(256)),
    "deep": b"[" * 100_000,
}


def files_of(sandbox: Sandbox, identifier: str) -> dict[str, Path]:
    own = sandbox.root / "containers" / identifier
    return {
        "state": own / "state.json",
        "config": own / "config.json",
        "record": sandbox.run / identifier / "state.json",
    }


def left(sandbox: Sandbox, identifier: str) -> list[str]:
    """What there is of a container on the machine, but for its own directories."""
    with open("/proc/self/mountinfo") as file:
        found = [line for line in file if identifier in line]
    run = sandbox.run.glob(f"**/*{identifier}*")
    groups = called(f"{sandbox.cgroup_parent}/{identifier}")
    return [*found, *map(str, groups), *map(str, run)]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_state(docker: Containers, sandbox: Sandbox, damage: str) -> None:
    identifier = docker.run("--name", "one", *SLEEP, net=True)
    pid = docker.pid("one")
    state = files_of(sandbox, identifier)["state"]
    state.write_bytes(DAMAGES[damage])
    assert docker("ps", "--format", "{{.Names}} {{.State}}").stdout == "one running\n"
    state.write_bytes(DAMAGES[damage])
    docker("system", "prune", "-f")
    assert psutil.pid_exists(pid)
    state.write_bytes(DAMAGES[damage])
    assert docker("exec", "one", "echo", "there").stdout == "there\n"
    state.write_bytes(DAMAGES[damage])
    docker("stop", "-t", "0", "one")
    assert not psutil.pid_exists(pid) and left(sandbox, identifier) == []
    assert docker.get("one", "{{.State.Status}} {{.State.ExitCode}}") == "exited 137"
    docker("start", "one")
    state.write_bytes(DAMAGES[damage])
    docker("rm", "-f", "one")
    assert left(sandbox, identifier) == []


def test_a_lost_state(docker: Containers, sandbox: Sandbox) -> None:
    identifier = docker.run("--name", "one", *SLEEP)
    files_of(sandbox, identifier)["state"].unlink()
    assert docker.get("one", "{{.State.Status}}") == "running"
    docker("rm", "-f", "one")
    assert left(sandbox, identifier) == []


@pytest.mark.parametrize("which", [("record",), ("config",), ("state", "record"),
                                   ("state", "config", "record")], ids=" ".join)  # fmt: skip
@pytest.mark.parametrize("command", ["stop", "kill", "rm"])
def test_damaged_files_of_one_that_runs(
    docker: Containers, sandbox: Sandbox, which: tuple[str, ...], command: str
) -> None:
    identifier = docker.run("--name", "one", *SLEEP, net=True)
    pid, files = docker.pid("one"), files_of(sandbox, identifier)

    def damage() -> None:
        for name in which:
            files[name].write_bytes(b'{"half":')

    damage()
    shown = docker("ps", "--format", "{{.Names}} {{.State}}").stdout
    assert shown == "one running\n"
    docker("system", "prune", "-f")
    damage()
    if command == "stop":
        docker("pause", "one", code=1 if "config" in which else 0)
        damage()
    words = {"stop": ["stop", "-t", "0"], "kill": ["kill"], "rm": ["rm", "-f"]}[command]
    docker(*words, "one")
    eventually(lambda: not psutil.pid_exists(pid) and left(sandbox, identifier) == [])
    docker("rm", "-f", "one")
    assert docker("ps", "-aq").stdout == ""
    assert not (sandbox.root / "overlay2" / identifier).exists()
    assert os.listdir(sandbox.root / "containers/names") == []


@pytest.mark.parametrize("which", [("state",), ("record",), ("state", "record")], ids=" ".join)
@pytest.mark.parametrize("command", ["ps", "prune", "start", "rm"])
def test_damaged_files_and_a_killed_monitor(
    docker: Containers, sandbox: Sandbox, which: tuple[str, ...], command: str
) -> None:
    identifier = docker.run("--name", "one", *SLEEP, net=True)
    monitor = psutil.Process(docker.pid("one")).parent()
    assert monitor is not None
    files = files_of(sandbox, identifier)
    for name in which:
        files[name].write_bytes(b"")
    monitor.kill()
    eventually(lambda: not monitor.is_running() or monitor.status() == psutil.STATUS_ZOMBIE)
    docker("system", "prune", "-f") if command == "prune" else None
    docker("start", "one", code=None) if command == "start" else None
    docker("ps", "-a")
    docker("rm", "-f", "one")
    docker("system", "prune", "-f")
    assert left(sandbox, identifier) == []


LISTS = ("ps -a", "images", "network ls", "volume ls", "system df", "info", "inspect one blue",
         "system prune -f")  # fmt: skip
SURROGATE = b'{"config": {"Labels": {"k": "\\ud800"}}, "rootfs": {"diff_ids": []}}'


def test_one_damaged_file_spoils_no_list(docker: Containers, sandbox: Sandbox) -> None:
    docker("network", "create", "blue")
    docker.run("--name", "one", "--net", "blue", "-v", "vol:/v", *SLEEP, net=True)
    docker("create", "--name", "two", "--net", "none", "busybox", "true")
    docker("tag", "busybox", "other")
    tops = [sandbox.root / name for name in ("containers", "image", "network", "volumes")]
    every = [path for top in (*tops, sandbox.run) for path in top.rglob("*") if path.is_file()]
    every = [path for path in every if path.stat().st_size < 1 << 16 and "log" not in path.name]
    try:
        for path in filter(Path.exists, every):
            sound = path.read_bytes()
            try:
                path.write_bytes(random.choice([*DAMAGES.values(), SURROGATE]))
                for words in random.sample(LISTS, 3) if ROUNDS == 1 else LISTS:
                    done = docker(*words.split(), code=None)
                    said = f"{path}: {words}: {done.stderr}"
                    assert "Traceback" not in said and "internal error" not in said
                    if words in ("ps -a", "images", "network ls", "volume ls"):
                        assert done.returncode == 0 or path.name == "index.json", said
            finally:
                if path.parent.exists():
                    path.write_bytes(sound)
    finally:
        docker.clear()
        for words in ("network rm blue", "volume rm vol", "rmi other"):
            docker(*words.split(), code=None)


def test_a_damaged_network_is_one_line_and_can_be_removed(
    docker: Containers, sandbox: Sandbox
) -> None:
    identifier = docker("network", "create", "blue").stdout.strip()
    (sandbox.root / "network" / identifier / "network.json").write_bytes(b"[" * 100_000)
    listed = docker("network", "ls").stdout.splitlines()
    (line,) = [line for line in listed if "blue" in line]
    assert "<damaged>" in line and any("host" in line for line in listed)
    done = docker("run", "--net", "blue", "busybox", "true", code=125)
    assert "not what was written there" in done.stderr and done.stderr.count("\n") == 1
    docker("run", "--rm", "busybox", "true")
    docker("rm", *docker("ps", "-aq").stdout.split())
    docker("network", "rm", "blue")
    assert "blue" not in docker("network", "ls").stdout


def test_a_damaged_image_is_one_line_and_can_be_removed(
    docker: Containers, sandbox: Sandbox, tmp_path: Path
) -> None:
    docker("run", "--name", "one", "--net", "none", "busybox", "true")
    docker("commit", "one", "broken")
    docker("rm", "one")
    store = ImageStore(str(sandbox.root))
    image = store.resolve("broken")
    Path(store.content.blob(image.id)).write_bytes(b"{}")
    assert "broken" in docker("images").stdout and "busybox" in docker("images").stdout
    assert docker("run", "--rm", "busybox", "echo", "there").stdout == "there\n"
    done = docker("run", "broken", code=125)
    assert "not what was written there" in done.stderr and done.stderr.count("\n") == 1
    docker("system", "prune", "-f")
    assert store.resolve("busybox")
    assert docker("rmi", "broken").stdout == "Untagged: broken:latest\n"
    assert "broken" not in docker("images").stdout
    docker("run", "--rm", "--net", "none", "busybox", "true")


def test_half_a_character_in_a_label(docker: Containers, sandbox: Sandbox) -> None:
    identifier = docker.run("--name", "one", "--label", "k=v", *SLEEP)
    path = files_of(sandbox, identifier)["config"]
    written = path.read_bytes()
    assert b'["k", "v"]' in written
    path.write_bytes(written.replace(b'["k", "v"]', b'["k", "\\ud800"]'))
    assert docker.get("one", "{{.Config.Labels.k}}") == "\N{REPLACEMENT CHARACTER}"


def test_a_short_write_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what cannot be written leaves the old file as it was."""
    path = str(tmp_path / "state.json")
    value = {"text": "x" * 6000}
    whole.write_json(path, {"old": 1})
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limit[1]))
        with pytest.raises(whole.NotWritten, match="File too large"):
            whole.write_json(path, value)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, before)
    assert whole.read_json(path) == {"old": 1} and os.listdir(tmp_path) == ["state.json"]
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:100]))
    whole.write_json(path, value)
    assert whole.read_json(path) == value


def test_no_event_is_lost_when_the_file_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many writers see a full file at once: it is renamed once, and each line is written."""
    monkeypatch.setattr(events, "_FULL", 3000)
    (tmp_path / "root").mkdir()
    store = Store(str(tmp_path / "root"), str(tmp_path / "run"))
    config = unknown("ab" * 32, "c")
    while not (tmp_path / "root/events.json").exists() or (
        (tmp_path / "root/events.json").stat().st_size <= 3000
    ):
        events.tell(store, config, "before")
    lock = events._lock

    def late(fd: int) -> bool:
        time.sleep(0.2)  # all have opened the file by then
        return lock(fd)

    monkeypatch.setattr(events, "_lock", late)
    pids = []
    for number in range(8):
        if (pid := os.fork()) == 0:
            try:
                events.tell(store, config, "told", number=str(number))
            finally:
                os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)
    found = list(events.read(store, 0, time.time_ns()))
    numbers = [e["Actor"]["Attributes"].get("number") for e in found if e["Action"] == "told"]
    assert sorted(numbers) == [str(number) for number in range(8)]


def test_who_follows_events_sees_each_once_however_often_the_file_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many write, and may be so far ahead of the reader that two files were begun meanwhile."""
    writers, each = 4, 100 * ROUNDS
    ahead = 40  # lines, of some 250 bytes each: the file is full after 24
    monkeypatch.setattr(events, "_FULL", 6000)
    monkeypatch.setattr(events, "_LOOK", 0.001)
    store = Store(str(tmp_path), str(tmp_path / "run"))
    permits, seen = threading.Semaphore(ahead), list[str]()

    def write(writer: int) -> None:
        for number in range(each):
            permits.acquire()
            events.tell_of(store.root, "volume", "create", f"{writer}-{number}", {"a": "b" * 90})

    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    end = time.monotonic() + patience(20)  # who lost a line would wait for it for ever

    def done() -> bool:
        return len(seen) == writers * each or time.monotonic() > end

    follower = events.read(store, 0, 1 << 62, done)
    for thread in threads:
        thread.start()
    for event in follower:
        seen.append(event["Actor"]["ID"])
        permits.release()
    permits.release(writers * each)
    for thread in threads:
        thread.join()
    wanted = [f"{writer}-{number}" for writer in range(writers) for number in range(each)]
    assert sorted(seen) == sorted(wanted)

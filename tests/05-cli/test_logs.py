"""logs: all that was written, by stream, by time, from the end, while it grows, and rotated."""

import json
import os
import re
import signal
import time
from collections.abc import Iterable
from pathlib import Path

import psutil
import pytest
from sandbox.containers import Containers
from sandbox.launcher import Launcher, eventually

from mydocker.engine.looking import logs
from mydocker.engine.records.config import LOG_FILES, LOG_SIZE

pytestmark = pytest.mark.root


def files(identifier: str) -> list[Path]:
    directory = Path(os.environ["MYDOCKER_ROOT"]) / "containers" / identifier
    return sorted(directory.glob("*-json.log*"))


def test_dockers_own_format(docker: Containers) -> None:
    identifier = docker.run("--name", "one", "busybox", "sh", "-c", r"echo 'a\"b'; printf 'ü\377x'")
    docker("wait", "one")
    (file,) = files(identifier)
    first, second = map(json.loads, file.read_text().splitlines())
    assert (first["log"], first["stream"]) == ('a\\"b\n', "stdout")
    assert second["log"] == "ü\N{REPLACEMENT CHARACTER}x"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", second["time"])


def test_long_lines_are_split_and_put_together(docker: Containers) -> None:
    identifier = docker.run("--name", "one", "busybox", "sh", "-c",
                            "head -c 40000 /dev/zero | tr '\\0' a; echo; echo end")  # fmt: skip
    docker("wait", "one")
    (file,) = files(identifier)
    pieces = [json.loads(line)["log"] for line in file.read_text().splitlines()]
    assert [len(piece) for piece in pieces] == [16384, 16384, 7233, 4]
    assert docker("logs", "one").stdout == "a" * 40000 + "\nend\n"


def test_tail_since_until_timestamps(docker: Containers) -> None:
    script = "echo one; echo two; sleep 1.2; echo three"
    docker.run("--name", "one", "busybox", "sh", "-c", script)
    docker("wait", "one")
    assert docker("logs", "--tail", "2", "one").stdout == "two\nthree\n"
    assert docker("logs", "-n", "0", "one").stdout == ""
    stamped = docker("logs", "-t", "one").stdout.splitlines()
    times = [line.split(" ")[0] for line in stamped]
    assert [line.split(" ")[1] for line in stamped] == ["one", "two", "three"]
    assert docker("logs", "--since", times[2], "one").stdout == "three\n"
    assert docker("logs", "--until", times[1], "one").stdout.startswith("one\n")
    assert "three" not in docker("logs", "--until", times[1], "one").stdout
    assert docker("logs", "--since", "1h", "one").stdout == "one\ntwo\nthree\n"
    assert docker("logs", "--since", str(int(time.time()) + 60), "one").stdout == ""
    assert "invalid" in docker("logs", "--since", "soon", "one", code=1).stderr


def test_follow_until_it_ends(docker: Containers) -> None:
    docker.run("--name", "one", "busybox", "sh", "-c",
               "echo old; while [ ! -e /go ]; do sleep 0.05; done; echo new >&2")  # fmt: skip
    eventually(lambda: docker("logs", "one").stdout == "old\n")
    started = docker.start("logs", "-f", "one")
    assert started.stdout and started.stderr
    assert started.stdout.readline() == "old\n"
    docker("exec", "one", "touch", "/go")
    assert started.stderr.readline() == "new\n"
    assert started.wait(20) == 0


def test_follow_loses_nothing_over_rotations(docker: Containers) -> None:
    count = 3000
    script = f"sleep 0.3; i=0; while [ $i -lt {count} ]; do echo line $i; i=$((i+1)); done"
    identifier = docker.run("--name", "one", "--log-opt", "max-size=100k", "--log-opt",
                            "max-file=3", "busybox", "sh", "-c", script)  # fmt: skip
    followed = docker("logs", "-f", "one").stdout.splitlines()
    assert followed[-1] == f"line {count - 1}"
    assert len(files(identifier)) == 3
    assert all(file.stat().st_size <= 100 << 10 for file in files(identifier))
    kept = docker("logs", "one").stdout.splitlines()
    assert kept == [f"line {n}" for n in range(count - len(kept), count)]
    assert docker("logs", "--tail", "900", "one").stdout.splitlines() == kept[-900:]


def test_one_file_of_limited_size(docker: Containers) -> None:
    script = "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done"
    identifier = docker.run(
        "--name", "one", "--log-opt", "max-size=20k", "busybox", "sh", "-c", script
    )
    docker("wait", "one")
    (file,) = files(identifier)
    assert file.stat().st_size <= 20 << 10
    assert docker("logs", "one").stdout.endswith("line 1999\n")


def test_no_log(docker: Containers) -> None:
    identifier = docker.run("--name", "one", "--log-driver", "none", "busybox", "echo", "x")
    docker("wait", "one")
    assert files(identifier) == []
    assert "does not support reading" in docker("logs", "one", code=1).stderr


def test_a_line_cut_by_a_power_cut(docker: Containers) -> None:
    identifier = docker.run("--name", "one", "busybox", "echo", "whole")
    docker("wait", "one")
    (file,) = files(identifier)
    with file.open("a") as opened:
        opened.write('{"log":"half')
    assert docker("logs", "one").stdout == "whole\n"


# ---------------------------------------------------------------- files, without a container


def entry(text: str) -> bytes:
    told = {"log": f"{text}\n", "stream": "stdout", "time": "2026-01-31T12:00:00.123456789Z"}
    return json.dumps(told, separators=(",", ":")).encode() + b"\n"


def entries(first: int, after: int) -> bytes:
    return b"".join(entry(f"line {n}") for n in range(first, after))


def shown(raw: Iterable[bytes]) -> list[str]:
    return [json.loads(line)["log"].rstrip("\n") for line in raw]


def numbered(first: int, after: int) -> list[str]:
    return [f"line {n}" for n in range(first, after)]


def test_a_fast_writer_is_followed_without_waiting_for_it_to_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It writes twice as fast as we read: nothing may wait for the end, or keep what was read."""
    path, written, real = tmp_path / "log", 0, os.pread

    def pread(fd: int, count: int, position: int) -> bytes:
        nonlocal written
        assert written < 100, "everything is read before anything is shown"
        with path.open("ab") as file:
            file.write(entries(written * 2000, written * 2000 + 2000))
        written += 1
        return real(fd, count, position)

    path.write_bytes(b"")
    files = logs.Files(str(path), 1)
    assert list(files.written(-1)) == []
    monkeypatch.setattr(os, "pread", pread)
    coming = files.coming(lambda: False, 0)
    assert shown(next(coming) for _ in range(3000)) == numbered(0, 3000)
    assert written < 20
    files.close()


def test_half_an_entry_is_none_until_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "log"
    half = entry("line 2")
    path.write_bytes(entries(0, 2) + half[:20])
    for tail, lines in ((-1, numbered(0, 2)), (1, ["line 1"]), (0, []), (5, numbered(0, 2))):
        files = logs.Files(str(path), 1)
        assert shown(files.written(tail)) == lines
        files.close()
    files = logs.Files(str(path), 1)
    assert shown(files.written(1)) == ["line 1"]
    pieces = [half[20:40], half[40:] + entry("line 3")[:5], entry("line 3")[5:]]

    def wait() -> bool:
        with path.open("ab") as file:
            file.write(pieces.pop(0))
        return not pieces

    assert shown(files.coming(wait, 0)) == ["line 2", "line 3"]
    files.close()


def test_what_is_written_meanwhile_comes_later_and_once(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(entries(0, 5))
    files = logs.Files(str(path), 1)
    with path.open("ab") as file:
        file.write(entries(5, 8))
    assert shown(files.written(2)) == numbered(3, 5)
    assert shown(files.coming(lambda: True, 0)) == numbered(5, 8)
    files.close()


@pytest.mark.parametrize("rotations", [1, 2, 3, 7])
def test_following_over_several_rotations_between_two_looks(tmp_path: Path, rotations: int) -> None:
    """All that is still kept comes, in its order: four files, and what was open."""
    path, count = tmp_path / "log", 4
    path.write_bytes(entries(0, 10))
    files = logs.Files(str(path), count)
    assert shown(files.written(0)) == []
    begun = False

    def wait() -> bool:
        nonlocal begun
        if begun:
            return True
        begun = True
        for number in range(1, rotations + 1):
            for older in range(count - 1, 0, -1):
                source = path if older == 1 else tmp_path / f"log.{older - 1}"
                if source.exists():
                    source.rename(tmp_path / f"log.{older}")
            path.write_bytes(entries(number * 10, number * 10 + 10))
        return False

    kept = max(1, rotations - count + 1)
    assert shown(files.coming(wait, 0)) == numbered(kept * 10, rotations * 10 + 10)
    files.close()


@pytest.mark.parametrize("tail", [0, 1, 2, 299, 300, 301, 4000, 9999, 10000, 10001])
def test_tail_counts_over_blocks_and_files(tmp_path: Path, tail: int) -> None:
    path = tmp_path / "log"
    (tmp_path / "log.2").write_bytes(entries(0, 4000))
    (tmp_path / "log.1").write_bytes(entries(4000, 9700))
    path.write_bytes(entries(9700, 10000))
    files = logs.Files(str(path), 3)
    assert shown(files.written(tail)) == numbered(max(0, 10000 - tail), 10000)
    files.close()


def test_after_a_power_cut_the_next_entry_is_read(docker: Containers) -> None:
    """Half an entry without its end, and after the start of the machine the next one behind it."""
    identifier = docker.run("--name", "one", "busybox", "echo", "whole")
    docker("wait", "one")
    (file,) = files(identifier)
    with file.open("ab") as opened:
        opened.write(b'{"log":"half' + entry("next") + b"\0\0\0\n" + entry("last"))
    told = docker("logs", "one")
    assert told.stdout == "whole\nnext\nlast\n"
    assert told.stderr.count("unreadable log entry") == 1


def test_a_log_that_nobody_limited_does_not_grow_for_ever(docker: Containers) -> None:
    """Docker's would. What is applied is not shown as if it had been asked for."""
    docker.run("--name", "one", "--log-opt", "max-size=-1", "busybox", "sleep", "100")
    asked = "{{json .HostConfig.LogConfig.Config}}"
    assert docker.get("one", asked) == '{"max-size":"-1"}'
    identifier = docker.run("--name", "two", "busybox", "yes", "a line that is written for ever")
    assert docker.get("two", asked) == "{}"
    limit = LOG_SIZE
    assert limit == 20 << 20 and LOG_FILES == 5
    log = files(identifier)[0]
    eventually(lambda: log.with_name(f"{log.name}.1").exists(), what="a second file is begun")
    assert all(file.stat().st_size <= limit for file in files(identifier))
    assert len(files(identifier)) <= LOG_FILES
    docker("rm", "-f", "two")


def test_follow_of_a_fast_writer_in_little_memory(docker: Containers) -> None:
    docker.run("--name", "one", "busybox", "yes", "a line of no great length, again and again")
    started = docker.start("logs", "-f", "one")
    assert started.stdout
    size = 0
    while size < 20 << 20:
        size += len(started.stdout.read(1 << 20))
    assert psutil.Process(started.pid).memory_info().rss < 60 << 20
    started.kill()
    docker("rm", "-f", "one")


def test_a_client_that_dies_of_a_closed_pipe_leaves_the_container_running(
    mydocker: Launcher, docker: Containers
) -> None:
    """As Docker's: the client ends, the container goes on to its own end, and goes then (--rm)."""
    script = "while [ ! -e /go ]; do echo line; sleep 0.02; done; echo the end"
    started = docker.start(
        "run", "--rm", "--name", "one", "--net", "none", "busybox", "sh", "-c", script
    )
    assert started.stdout and started.stdout.readline() == "line\n"
    started.stdout.close()
    assert started.wait(20) == 128 + signal.SIGPIPE
    assert docker.get("one", "{{.State.Status}}") == "running"
    before = len(docker("logs", "one").stdout)
    eventually(lambda: len(docker("logs", "one").stdout) > before, what="it writes on")
    docker("exec", "one", "touch", "/go")
    eventually(lambda: not docker("ps", "-aq").stdout, what="it is removed at its end")

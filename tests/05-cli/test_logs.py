"""logs: all that was written, by stream, by time, from the end, while it grows, and rotated."""

import json
import os
import re
import time
from pathlib import Path

import pytest
from sandbox.containers import Containers
from sandbox.launcher import eventually

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

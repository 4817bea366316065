"""run: in the foreground and detached, exit codes, streams, signals, cidfile, labels."""

import os
import signal
from pathlib import Path

import psutil
import pytest
from sandbox.containers import Containers
from sandbox.launcher import eventually

pytestmark = pytest.mark.root
NONE = ("--net", "none")


def test_output_error_and_exit_code(docker: Containers) -> None:
    script = "echo out; echo err >&2; exit 9"
    done = docker("run", "--name", "one", *NONE, "busybox", "sh", "-c", script, code=9)
    assert (done.stdout, done.stderr) == ("out\n", "err\n")
    assert docker.get("one", "{{.State.Status}} {{.State.ExitCode}}") == "exited 9"
    logs = docker("logs", "one")
    assert (logs.stdout, logs.stderr) == ("out\n", "err\n")


def test_rm_leaves_nothing(docker: Containers) -> None:
    docker("run", "--rm", *NONE, "busybox", "true")
    docker("run", "--rm", *NONE, "busybox", "false", code=1)
    docker("run", "--rm", *NONE, "busybox", "nosuch", code=127)
    assert docker("ps", "-aq").stdout == ""
    root = Path(os.environ["MYDOCKER_ROOT"])
    assert [path.name for path in (root / "containers").iterdir()] == ["names"]
    assert list((root / "containers/names").iterdir()) == []


def test_a_command_that_cannot_run(docker: Containers) -> None:
    done = docker("run", "--name", "one", *NONE, "busybox", "nosuch", code=127)
    assert 'exec: "nosuch": executable file not found in $PATH' in done.stderr
    assert docker.get("one", "{{.State.Status}} {{.State.ExitCode}}") == "created 127"
    docker("run", "-d", *NONE, "busybox", "/etc/passwd", code=126)
    docker("run", *NONE, "busybox", "sh", "-c", "kill -9 $$; sleep 1", code=0)
    done = docker("run", "nosuch", code=125)
    assert "No such image: nosuch" in done.stderr


def test_input(docker: Containers) -> None:
    text = "".join(f"line {n}\n" for n in range(50_000))
    done = docker("run", "--rm", "-i", *NONE, "busybox", "cat", input=text)
    assert done.stdout == text
    assert docker("run", "--rm", *NONE, "busybox", "cat", input="not for it").stdout == ""


def test_output_larger_than_all_buffers(docker: Containers) -> None:
    line = "0123456789" * 4
    script = f"i=0; while [ $i -lt 20000 ]; do echo {line}; i=$((i+1)); done"
    done = docker("run", "--name", "one", *NONE, "busybox", "sh", "-c", script)
    assert done.stdout == f"{line}\n" * 20_000
    assert docker("logs", "one").stdout == done.stdout


def test_detached_prints_its_id_and_goes_on(docker: Containers) -> None:
    identifier = docker.run("--name", "one", "busybox", "sleep", "1000")
    assert docker("ps", "-q", "--no-trunc").stdout == f"{identifier}\n"
    assert psutil.Process(docker.pid("one")).cmdline() == ["sleep", "1000"]


def test_detached_with_rm_goes_when_it_ends(docker: Containers) -> None:
    docker.run("--rm", "--name", "one", "busybox", "sleep", "0.1")
    eventually(lambda: docker("ps", "-aq").stdout == "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_are_handed_on(docker: Containers, number: int) -> None:
    script = "trap 'exit 44' TERM INT; echo ready; while :; do sleep 0.05; done"
    started = docker.start("run", "--rm", *NONE, "busybox", "sh", "-c", script)
    assert started.stdout and started.stdout.readline() == "ready\n"
    started.send_signal(number)
    assert started.wait(20) == 44


def test_killed_while_it_runs_the_container_goes_on(docker: Containers) -> None:
    started = docker.start(
        "run", "--name", "one", *NONE, "busybox", "sh", "-c", "echo hi; sleep 1000"
    )
    assert started.stdout and started.stdout.readline() == "hi\n"
    started.kill()
    started.wait()
    assert docker.get("one", "{{.State.Status}}") == "running"


def test_nobody_reads_and_the_container_ends_all_the_same(docker: Containers) -> None:
    started = docker.start("run", "--name", "one", *NONE, "busybox", "yes")
    assert started.stdout
    started.stdout.readline()
    started.stdout.close()
    assert started.wait(20) == 141
    assert docker.get("one", "{{.State.Status}}") == "running"


def test_cidfile(docker: Containers, tmp_path: Path) -> None:
    file = tmp_path / "id"
    identifier = docker.run("--cidfile", str(file), "busybox", "true")
    assert file.read_text() == identifier
    done = docker("run", "--cidfile", str(file), "busybox", "true", code=125)
    assert "container ID file found" in done.stderr
    done = docker("create", "--cidfile", f"{tmp_path}/no/id", "busybox", "true", code=125)
    assert "failed to create the container ID file" in done.stderr
    assert docker("ps", "-aq").stdout.split() == [identifier[:12]]


def test_entrypoint_init_labels_hostname(docker: Containers, tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("# no label\nfile=1\nboth=file\n")
    labels = ["-l", "both=line", "--label", "bare", "--label-file", f"{tmp_path}/labels"]
    other = ["--init", "--entrypoint", "sleep", "-h", "box"]
    docker.run("--name", "one", *labels, *other, "busybox", "1000")
    assert docker.get("one", "{{json .Config.Labels}}") == '{"bare":"","both":"line","file":"1"}'
    assert docker.get("one", "{{.Path}} {{.Args}} {{.Config.Hostname}}") == "sleep [1000] box"
    assert "sleep 1000" in docker("exec", "one", "ps").stdout
    assert docker("exec", "one", "hostname").stdout == "box\n"


def test_wrong_options_leave_nothing(docker: Containers) -> None:
    for wrong in (
        "-p=x",
        "--tmpfs=relative",
        "--log-driver=syslog",
        "-m=1",
        "--log-opt=max-file=2",
        "--stop-signal=NO",
        "--ip=10.0.0.1",
    ):
        docker("run", *wrong.split("=", 1), "busybox", "true", code=125)
    assert docker("ps", "-aq").stdout == ""

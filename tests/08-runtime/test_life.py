"""The life of a container by a runtime's commands, each a process of its own."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from sandbox.bundles import Runtime
from sandbox.launcher import eventually

pytestmark = pytest.mark.root


def error_of(text: str) -> str:
    """The message in the one line of an error."""
    (line,) = text.splitlines()
    assert line.startswith('time="') and "level=error" in line
    return line.partition('msg="')[2].removesuffix('"').replace('\\"', '"')


def test_create_start_kill_delete(runtime: Runtime) -> None:
    pid = runtime.create("sh", "-c", "echo here; exec sleep 1000")
    assert runtime.status() == "created"
    assert runtime.said() == "", "the command does not run yet"
    runtime("start", "box")
    assert runtime.status() == "running"
    eventually(lambda: runtime.said() == "here\n", what="what the command says")
    assert int(runtime.state()["pid"]) == pid, "it became the command"
    runtime("kill", "box", "9")
    runtime.comes_to("stopped")
    assert runtime.state()["pid"] == 0
    runtime("delete", "box")
    assert os.listdir(runtime.root) == []
    assert error_of(runtime("state", "box", code=1).stderr) == "container does not exist"


def test_the_state_is_that_of_the_specification(runtime: Runtime) -> None:
    def annotate(told: dict[str, Any]) -> None:
        told["annotations"] = {"org.example": "yes"}

    pid = runtime.create("sleep", "1000", change=annotate)
    told = runtime.state()
    assert told.pop("created").endswith("Z")
    assert told == {
        "ociVersion": "1.0.2-dev",
        "id": "box",
        "pid": pid,
        "status": "created",
        "bundle": str(runtime.bundle.directory),
        "rootfs": str(runtime.bundle.rootfs),
        "annotations": {"org.example": "yes"},
        "owner": "",
    }


def test_run_gives_the_exit_code_and_leaves_nothing(runtime: Runtime) -> None:
    done = runtime.run("sh", "-c", "echo out; echo err >&2; exit 7", code=7)
    assert (done.stdout, done.stderr) == ("out\n", "err\n")
    assert os.listdir(runtime.root) == []
    done = runtime.run("sh", "-c", "kill -9 $$; sleep 5", code=None)
    assert done.returncode in (137, 0)  # PID 1 does not even hear its own SIGKILL


def test_run_reads_what_is_typed(runtime: Runtime) -> None:
    runtime.bundle.write("cat")
    assert runtime("run", "box", typed="typed\n").stdout == "typed\n"


def test_a_detached_run_goes_on(runtime: Runtime) -> None:
    runtime.bundle.write("sleep", "1000")
    file = runtime.bundle.directory / "pid"
    runtime.start("run", "-d", "--pid-file", str(file), "box", stdout=None, stderr=None).wait(60)
    assert runtime.status() == "running"
    assert int(file.read_text()) == runtime.state()["pid"]


def test_only_what_is_stopped_can_be_deleted(runtime: Runtime) -> None:
    pid = runtime.create("sleep", "1000")
    runtime("start", "box")
    refused = error_of(runtime("delete", "box", code=1).stderr)
    assert refused == "cannot delete container box that is not stopped: running"
    runtime("delete", "--force", "box")
    assert not os.path.exists(f"/proc/{pid}/ns/pid") or runtime.root.exists()
    assert os.listdir(runtime.root) == []


def test_what_is_gone_is_deleted_by_force_as_often_as_one_likes(runtime: Runtime) -> None:
    assert error_of(runtime("delete", "box", code=1).stderr) == "container does not exist"
    runtime("delete", "--force", "box")
    runtime("delete", "-f", "box")


def test_a_created_container_can_be_killed_and_deleted(runtime: Runtime) -> None:
    for word in ("KILL", "SIGTERM"):
        runtime.create("sleep", "1000")
        runtime("kill", "box", word)
        runtime.comes_to("stopped")
        refused = error_of(runtime("start", "box", code=1).stderr)
        assert refused == "cannot start a container that has stopped"
        runtime("delete", "box")
    runtime.create("sleep", "1000")
    runtime("delete", "box")
    assert os.listdir(runtime.root) == []


@pytest.mark.parametrize(
    ("word", "number"), [("TERM", 15), ("sigusr1", 10), ("12", 12), ("SIGHUP", 1)]
)
def test_signals_by_name_and_number(runtime: Runtime, word: str, number: int) -> None:
    script = "trap 'echo got' TERM USR1 USR2 HUP; echo ready; while :; do sleep 0.1; done"
    runtime.create("sh", "-c", script)
    runtime("start", "box")
    eventually(lambda: "ready" in runtime.said(), what="the trap")
    runtime("kill", "box", word)
    eventually(lambda: "got" in runtime.said(), what=f"signal {number}")


def test_a_word_that_is_no_signal(runtime: Runtime) -> None:
    runtime.create("sleep", "1000")
    assert error_of(runtime("kill", "box", "FOO", code=1).stderr) == 'unknown signal "FOO"'
    assert error_of(runtime("kill", "box", "999", code=1).stderr) == 'unknown signal "999"'


def test_each_command_at_the_wrong_time(runtime: Runtime) -> None:
    runtime.create("sleep", "1000")
    again = runtime("create", "box", code=1)
    assert error_of(again.stderr) == "create failed: container with given ID already exists"
    assert runtime.status() == "created", "the first one is as it was"
    runtime("start", "box")
    refused = error_of(runtime("start", "box", code=1).stderr)
    assert refused == "cannot start an already running container"
    assert error_of(runtime("resume", "box", code=1).stderr) == "container not paused"
    runtime("kill", "box", "KILL")
    runtime.comes_to("stopped")
    for words in (("kill", "box"), ("pause", "box")):
        assert error_of(runtime(*words, code=1).stderr) == "container not running"
    refused = error_of(runtime("exec", "box", "true", code=255).stderr)
    assert refused == "exec failed: cannot exec in a stopped container"


@pytest.mark.parametrize("identifier", ["", "a/b", "..", ".", "x" * 1025, "a b", "ä"])
def test_what_cannot_be_an_id(runtime: Runtime, identifier: str) -> None:
    runtime.bundle.write("true")
    said = error_of(runtime("create", identifier, code=1).stderr)
    assert said in ("create failed: invalid container ID format",
                    "create failed: container id cannot be empty")  # fmt: skip


def test_pause_and_resume(runtime: Runtime) -> None:
    runtime.create("sh", "-c", "while :; do echo x; sleep 0.05; done")
    runtime("start", "box")
    eventually(lambda: len(runtime.said()) > 4, what="its output")
    runtime("pause", "box")
    assert runtime.status() == "paused"
    refused = error_of(runtime("exec", "box", "true", code=255).stderr)
    assert "cannot exec in a paused container" in refused
    before = runtime.said()
    assert runtime.said() == before
    runtime("resume", "box")
    assert runtime.status() == "running"
    eventually(lambda: len(runtime.said()) > len(before), what="more output")
    runtime("pause", "box")
    runtime("delete", "--force", "box")


def test_list_and_ps(runtime: Runtime) -> None:
    assert runtime("list", "-f", "json").stdout == "null\n"
    pid = runtime.create("sleep", "1000")
    (told,) = json.loads(runtime("list", "--format", "json").stdout)
    assert (told["id"], told["pid"], told["status"]) == ("box", pid, "created")
    assert runtime("list", "-q").stdout == "box\n"
    titles, row = runtime("list").stdout.splitlines()
    assert titles.split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    assert row.split()[:3] == ["box", str(pid), "created"]
    assert json.loads(runtime("ps", "--format", "json", "box").stdout) == [pid]
    runtime("start", "box")
    eventually(lambda: "sleep 1000" in runtime("ps", "box").stdout, what="the command in ps")
    titles, *rows = runtime("ps", "box", "-o", "pid,comm").stdout.splitlines()
    assert (titles.split(), [row.split() for row in rows]) == (
        ["PID", "COMMAND"], [[str(pid), "sleep"]],
    )  # fmt: skip


def test_the_container_outlives_who_created_it(runtime: Runtime) -> None:
    """``create`` has ended by the time we look; so its end cannot be the container's."""
    pid = runtime.create("sleep", "1000")
    runtime("start", "box")
    status = Path(f"/proc/{pid}/status").read_text()
    assert f"PPid:\t{os.getpid()}\n" in status, "who is the subreaper, a shim, gets it"


def test_it_starts_from_anywhere_with_nothing_in_the_environment(runtime: Runtime) -> None:
    """As conmon and the shim start it."""
    launcher = Path(__file__).parents[2] / "mydocker-runtime"
    words = [str(launcher), "--root", str(runtime.root), "list", "-f", "json"]
    done = subprocess.run(words, env={}, cwd="/", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "null\n", "")
    link = runtime.bundle.directory / "link"
    link.symlink_to(launcher)
    done = subprocess.run([link, "--version"], env={}, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("mydocker-runtime version ") and "\nspec: 1.3.0\n" in done.stdout


def test_errors_in_the_log_as_the_shim_reads_them(runtime: Runtime, tmp_path: Path) -> None:
    log = tmp_path / "log.json"
    runtime.bundle.write("/nonexistent")
    done = runtime("--log", str(log), "--log-format", "json", "create", "box", code=1)
    told = json.loads(log.read_text())
    words = (
        "create failed: unable to start container process: "
        'exec: "/nonexistent": stat /nonexistent: no such file or directory'
    )
    assert set(told) == {"level", "msg", "time"}
    assert (told["level"], told["msg"]) == ("error", words)
    assert done.stderr == f"{words}\n"
    assert os.listdir(runtime.root) == []


def test_a_command_line_that_is_none(runtime: Runtime) -> None:
    for words, code, said in (
        (("create",), 1, '"create" requires exactly 1 argument(s)'),
        (("state", "a", "b"), 1, '"state" requires exactly 1 argument(s)'),
        (("state", "--foo", "a"), 1, "flag provided but not defined: -foo"),
        (("create", "--bundle"), 1, "flag needs an argument: -bundle"),
        (("nope",), 3, "No help topic for 'nope'"),
        (("checkpoint", "a"), 1, "checkpoint and restore need CRIU, and are not built here"),
    ):
        done = runtime(*words, code=code)
        assert error_of(done.stderr).endswith(said)


def test_an_interrupted_run_leaves_nothing(runtime: Runtime) -> None:
    runtime.bundle.write("sh", "-c", "trap 'exit 3' TERM; echo ready; while :; do sleep 0.1; done")
    started = runtime.start("run", "box")
    assert started.stdout and started.stdout.readline() == "ready\n"
    started.send_signal(signal.SIGTERM)
    assert started.wait(60) == 3, "a signal for us is for the command"
    assert os.listdir(runtime.root) == []

"""Restart policies: who starts again, how often, and who stops it."""

import pytest
from sandbox.containers import Containers
from sandbox.launcher import eventually

pytestmark = pytest.mark.root


def test_on_failure_counts(docker: Containers) -> None:
    docker.run(
        "--name", "one", "--restart", "on-failure:2", "busybox", "sh", "-c", "echo x; exit 3"
    )
    docker.until("one", "{{.State.Status}}", "exited")
    shown = "{{.RestartCount}} {{.State.ExitCode}} {{.State.Running}}"
    assert docker.get("one", shown) == "2 3 false"
    assert docker("logs", "one").stdout == "x\n" * 3


def test_on_failure_leaves_success_alone(docker: Containers) -> None:
    docker.run("--name", "one", "--restart", "on-failure", "busybox", "true")
    assert docker("wait", "one").stdout == "0\n"
    assert docker.get("one", "{{.RestartCount}} {{.State.Status}}") == "0 exited"


def test_always_starts_again_and_stop_ends_it(docker: Containers) -> None:
    docker.run("--name", "one", "--restart", "always", "busybox", "sh", "-c", "echo x; sleep 0.1")
    eventually(lambda: docker("logs", "one").stdout.count("x") >= 3)
    assert int(docker.get("one", "{{.RestartCount}}")) >= 2
    docker("stop", "-t", "0", "one")
    assert docker.get("one", "{{.State.Status}}") == "exited"
    count = docker("logs", "one").stdout
    docker("start", "one")
    eventually(lambda: docker("logs", "one").stdout != count)


def test_restarting_is_seen_and_can_be_stopped_and_removed(docker: Containers) -> None:
    docker.run("--name", "one", "--restart", "always", "busybox", "sh", "-c", "exit 4")
    docker.until("one", "{{.State.Status}}", "restarting")
    eventually(lambda: docker("ps", "--format", "{{.Status}}").stdout.startswith("Restarting (4) "))
    docker("stop", "one")
    assert docker.get("one", "{{.State.Status}} {{.State.ExitCode}}") == "exited 4"
    docker("start", "one")
    docker("rm", "-f", "one")
    assert docker("ps", "-aq").stdout == ""


def test_kill_ends_it_for_good(docker: Containers) -> None:
    docker.run("--name", "one", "--restart", "unless-stopped", "busybox", "sleep", "1000")
    docker("kill", "one")
    docker.until("one", "{{.State.Status}}", "exited")
    assert docker.get("one", "{{.RestartCount}}") == "0"


def test_kill_by_its_own_stop_signal_ends_it_for_good(docker: Containers) -> None:
    """As Docker: who sends the signal that asks it to end has stopped it; another one has not."""
    trap = "trap 'exit 3' USR1 HUP; echo ready; while :; do sleep 0.05; done"
    docker.run("--name", "one", "--restart", "always", "--stop-signal", "USR1", "busybox", "sh",
               "-c", trap)  # fmt: skip
    eventually(lambda: docker("logs", "one").stdout == "ready\n")
    docker("kill", "-s", "HUP", "one")
    eventually(lambda: docker("logs", "one").stdout == "ready\n" * 2)
    docker("kill", "-s", "USR1", "one")
    docker.until("one", "{{.State.Status}}", "exited")
    assert docker.get("one", "{{.RestartCount}} {{.State.ExitCode}}") == "1 3"


def test_a_start_by_hand_counts_anew(docker: Containers) -> None:
    script = "echo x; exit 3"
    docker.run("--name", "one", "--restart", "on-failure:1", "busybox", "sh", "-c", script)
    docker.until("one", "{{.RestartCount}} {{.State.Status}}", "1 exited")
    docker("start", "one")
    eventually(lambda: docker("logs", "one").stdout == "x\n" * 4, what="tried twice again")
    docker.until("one", "{{.RestartCount}} {{.State.Status}}", "1 exited")


def test_one_with_rm_survives_its_restart_and_goes_with_its_end(docker: Containers) -> None:
    docker.run("--rm", "--name", "one", "busybox", "sleep", "1000")
    pid = docker.pid("one")
    docker("restart", "-t", "0", "one")
    assert docker.pid("one") != pid
    docker("stop", "-t", "0", "one")
    eventually(lambda: docker("ps", "-aq").stdout == "", what="gone with its end")


def test_its_process_killed_by_another_starts_again(docker: Containers) -> None:
    import os
    import signal

    docker.run("--name", "one", "--restart", "always", "busybox", "sleep", "1000")
    pid = docker.pid("one")
    os.kill(pid, signal.SIGKILL)
    docker.until("one", "{{.RestartCount}} {{.State.Status}}", "1 running")
    assert docker.pid("one") != pid


def test_the_waits_double_until_it_has_run_for_a_while() -> None:
    from mydocker.engine.monitor.end import next_start
    from mydocker.engine.records.config import Restart
    from mydocker.engine.records.state import State

    always, waits = Restart("always"), [0.0]
    while len(waits) < 14:
        wait = next_start(always, State(), 1, 0.5, waits[-1])
        assert wait is not None, "--restart always, and it is not started again"
        waits.append(wait)
    assert [round(wait, 6) for wait in waits[1:6]] == [0.1, 0.2, 0.4, 0.8, 1.6]
    assert waits[-3:] == [60.0, 60.0, 60.0]
    wait = next_start(always, State(), 1, 11.0, 60.0)
    assert wait == 0.1, "the wait after a run of 11 seconds"


@pytest.mark.parametrize(
    ("policy", "retries", "count", "code", "stopped", "again"),
    [
        ("no", 0, 0, 1, False, False),
        ("always", 0, 900, 0, False, True),
        ("unless-stopped", 0, 1, 0, False, True),
        ("always", 0, 0, 1, True, False),
        ("unless-stopped", 0, 0, 1, True, False),
        ("on-failure", 0, 900, 1, False, True),
        ("on-failure", 0, 0, 0, False, False),
        ("on-failure", 2, 1, 1, False, True),
        ("on-failure", 2, 2, 1, False, False),
    ],
)
def test_which_end_is_the_last(
    policy: str, retries: int, count: int, code: int, stopped: bool, again: bool
) -> None:
    from mydocker.engine.monitor.end import next_start
    from mydocker.engine.records.config import Restart
    from mydocker.engine.records.state import State

    state = State(stopped=stopped, restart_count=count)
    wait = next_start(Restart(policy, retries), state, code, 1.0, 0.0)
    asked = f"--restart {policy}:{retries}, exit code {code}, restarted {count} times"
    assert (wait is not None) == again, f"{asked}{', stopped by its user' * stopped}: {wait}"


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("sometimes", "invalid restart policy 'sometimes'"),
        ("always:3", "maximum retry count cannot be used with restart policy 'always'"),
        ("on-failure:x", "maximum retry count must be an integer"),
    ],
)
def test_policies_that_are_none(docker: Containers, policy: str, said: str) -> None:
    done = docker("run", "--restart", policy, "busybox", "true", code=125)
    assert said in done.stderr
    assert docker("ps", "-aq").stdout == ""


def test_restart_and_rm_contradict(docker: Containers) -> None:
    done = docker("run", "--rm", "--restart", "always", "busybox", "true", code=125)
    assert "Conflicting options: --restart and --rm" in done.stderr

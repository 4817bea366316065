"""``--help`` and hints: whole sentences, and advice that can be followed."""

import subprocess
from pathlib import Path

import pytest
from sandbox.containers import Containers
from sandbox.launcher import Launcher

GROUPS = ("", "container", "image", "network", "volume", "system", "namespace", "cgroup", "lab")


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("columns", ["80", "60", "120"])
def test_a_list_of_commands_has_whole_sentences(
    mydocker: Launcher, group: str, columns: str
) -> None:
    env = {"COLUMNS": columns}
    lines = mydocker(5, *group.split(), "--help", env=env).stdout.splitlines()
    assert [line for line in lines if line.endswith("...") and "Usage" not in line] == []


@pytest.mark.root
def test_options_behind_the_image_are_noticed(docker: Containers) -> None:
    refused = docker("run", "--rm", "--net", "none", "busybox", "-it", "sh", code=127)
    assert refused.stderr == (
        'mydocker: exec: "-it": executable file not found in $PATH. Options go before the image:'
        " what follows it is the command\n"
    )


def test_an_option_that_is_like_the_one_written_is_advised(mydocker: Launcher) -> None:
    assert "--hostname" in mydocker(5, "run", "--hostnam", "x", "busybox", code=125).stderr


@pytest.mark.root
def test_layers_and_trace_file_know_names(docker: Containers) -> None:
    made = docker.run("--name", "web", "busybox", "sleep", "100")
    for name in ("web", made, made[:12]):
        assert docker("layers", name).stdout.startswith(f"container {made[:12]}")
        assert f"in container {made[:12]}" in docker("trace-file", name, "/bin/sh").stdout
    assert docker("layers", "busybox").stdout.startswith("image busybox")
    assert "no container, image or layer" in docker("layers", "nosuch", code=125).stderr


@pytest.mark.root
def test_a_made_image_tells_why_it_is_old(mydocker: Launcher, tmp_path: Path) -> None:
    told = mydocker(5, "run", "--rm", "--net", "none", "busybox", "true",
                    env={"MYDOCKER_ROOT": str(tmp_path / "root")}).stderr  # fmt: skip
    created = mydocker(5, "image", "inspect", "-f", "{{.Created}}", "busybox",
                       env={"MYDOCKER_ROOT": str(tmp_path / "root")}).stdout  # fmt: skip
    assert f"its date is the program's: {created[:10]}\n" in told


@pytest.mark.root
@pytest.mark.parametrize("limit", range(12, 40, 3))
def test_too_few_open_files_are_told_in_one_line(docker: Containers, limit: int) -> None:
    """Wherever it is that there are too few; or it works."""
    command = docker.launcher.argv(5, "run", "--rm", "--net", "none", "busybox", "true")
    limited = ["prlimit", f"--nofile={limit}", *command]
    done = subprocess.run(
        limited, env=docker.launcher.environment(), capture_output=True, text=True, check=False
    )
    docker("system", "prune", "-f")
    if done.returncode:
        assert "Too many open files" in done.stderr and "ulimit -n" in done.stderr
        assert len(done.stderr.splitlines()) == 1

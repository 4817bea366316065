"""Exit codes as the shell and Docker have them, and what bad input gets."""

import re
import secrets
import subprocess
from pathlib import Path

import psutil
import pytest
from sandbox.launcher import Launcher
from sandbox.machine import Sandbox

pytestmark = pytest.mark.root


@pytest.mark.parametrize("code", [0, 1, 42, 125, 126, 127, 255])
@pytest.mark.parametrize("init", [[], ["--init"]], ids=["", "init"])
def test_the_commands_own(mydocker: Launcher, code: int, init: list[str]) -> None:
    done = mydocker(1, "run", *init, "sh", "-c", f"exit {code}", code=code)
    assert done.stderr == ""


@pytest.mark.parametrize("init", [[], ["--init"]], ids=["", "init"])
@pytest.mark.parametrize(
    "command, code, told",
    [
        ("nosuch", 127, "executable file not found in $PATH"),
        ("", 127, "executable file not found in $PATH"),
        ("/no/such", 127, "no such file or directory"),
        ("/etc/passwd/x", 126, "not a directory"),
        ("/etc", 126, "It is a directory"),
        ("/etc/passwd", 126, "x permission is missing"),
    ],
)
def test_no_command(
    mydocker: Launcher, command: str, code: int, told: str, init: list[str]
) -> None:
    done = mydocker(1, "run", *init, command, "argument", code=code)
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "text, code, told",
    [
        ("#!/no/interpreter\n", 127, "the interpreter or dynamic loader"),
        ("no program\n", 126, "#! line"),
    ],
)
def test_files_that_are_no_programs(
    mydocker: Launcher, sandbox: Sandbox, text: str, code: int, told: str
) -> None:
    file = sandbox.directory / f"program-{secrets.token_hex(4)}"
    file.write_text(text)
    file.chmod(0o755)
    done = mydocker(1, "run", str(file), code=code)
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_first_on_path_that_can_be_executed(mydocker: Launcher, sandbox: Sandbox) -> None:
    places = [sandbox.directory / f"path-{secrets.token_hex(4)}" for _ in range(3)]
    for place in places:
        place.mkdir()
    (places[0] / "program").mkdir()
    (places[1] / "program").write_text("not this one")
    (places[2] / "program").write_text("#!/bin/sh\necho found\n")
    (places[2] / "program").chmod(0o755)
    path = ":".join(map(str, places))
    assert mydocker(1, "run", "program", env={"PATH": path}).stdout == "found\n"
    (places[2] / "program").chmod(0o644)
    refused = mydocker(1, "run", "program", env={"PATH": path}, code=126)
    assert "no x permission" in refused.stderr


@pytest.mark.parametrize("options", [[], ["--init"], ["--user"]], ids=" ".join)
def test_killed_from_outside(mydocker: Launcher, options: list[str]) -> None:
    started = mydocker.start(1, "run", *options, "sleep", "60")
    psutil.Process(mydocker.inside(started, "sleep")).kill()
    assert started.wait(20) == 137


@pytest.mark.parametrize("arguments", [[], ["run"], ["nosuch"], ["run", "--nosuch", "true"]])
def test_what_click_refuses(mydocker: Launcher, arguments: list[str]) -> None:
    done = mydocker(1, *arguments, code=None)
    if arguments:
        # As Docker's: 125 for an option, 1 for what is no command or has too few words
        assert done.returncode == (125 if "--nosuch" in arguments else 1)
        assert done.stderr.startswith("mydocker: ")
        assert len(done.stderr.splitlines()) == 1
    else:
        assert "run" in done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [["{}"], ["run", "{}"], ["run", "--uid-map", "{}", "true"]])
def test_what_was_typed_cannot_write_lines_of_its_own(
    mydocker: Launcher, arguments: list[str]
) -> None:
    typed = "no\nmydocker: \x1b[31mall is well"
    done = mydocker(1, *(word.format(typed) for word in arguments), code=None)
    assert done.returncode in (1, 125, 127)
    assert len(done.stderr.splitlines()) == 1
    assert "\x1b" not in done.stderr


def test_options_of_the_command_are_its_own(mydocker: Launcher) -> None:
    assert mydocker(1, "run", "echo", "--help", "-t", "--").stdout == "--help -t --\n"


def test_explain_does_not_take_the_command_for_its_value(mydocker: Launcher) -> None:
    told = mydocker(1, "run", "--explain", "echo", "--explain", "x")
    assert told.stdout == "--explain x\n"
    assert "clone3(" in told.stderr
    refused = mydocker(1, "run", "--explain=nonsense", "true", code=125)
    assert "--explain=script[:FILE]" in refused.stderr


def test_the_record_directory_is_not_even_made(mydocker: Launcher, sandbox: Sandbox) -> None:
    """Nothing of step 01 outlives its process, so there is nothing to write down."""
    run = sandbox.directory / f"run-{secrets.token_hex(4)}"
    mydocker(1, "run", "true", env={"MYDOCKER_RUN": str(run)})
    assert not Path(run).exists()


CHROOT = """
set -e
mount -t tmpfs none "$1"
mkdir "$1/root"
cd "$1/root"
for name in /*; do
    if [ -L "$name" ]; then cp -a "$name" .; elif [ -d "$name" ]; then
        mkdir ".$name"; [ "$name" = /tmp ] || mount --rbind "$name" ".$name"
    fi
done
shift
exec chroot . "$@"
"""


@pytest.mark.parametrize("step", [1, 3])
def test_a_bare_chroot_is_explained(mydocker: Launcher, tmp_path: Path, step: int) -> None:
    """As debootstrap leaves one: its / is no mount point, which the kernel calls invalid."""
    what = {1: ["run", "--mount", "true"], 3: ["run", "busybox", "true"]}[step]
    script = ["unshare", "--mount", "--propagation", "private", "sh", "-c", CHROOT, "sh"]
    command = [*script, str(tmp_path), *mydocker.argv(step, *what)]
    done = subprocess.run(
        command, env=mydocker.environment(), capture_output=True, text=True, check=False
    )
    told = done.stderr.splitlines()[-1]
    assert done.returncode == 125, done.stderr
    assert 'mount("none", "/"' in told and "This is a chroot, and its / is no mount point" in told
    doctor = subprocess.run(
        [*script, str(tmp_path), *mydocker.argv(5, "doctor")],
        env=mydocker.environment(), capture_output=True, text=True, check=False,
    ).stdout  # fmt: skip
    (fix,) = re.findall(r"mount namespace: mount.*\n +fix: (.*)", doctor)
    assert fix.startswith("This is a chroot")

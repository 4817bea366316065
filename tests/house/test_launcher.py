"""./mydocker sets itself up once, survives an interruption, and then gets out of the way.

Each test has a small repository with the real launcher and set-up. Its one dependency is pip, which
every new virtual environment has: so nothing is downloaded.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sandbox.launcher import eventually

from house.programs import ROOT, run

# Shows what reaches the command line: arguments, flags of the interpreter, open descriptors.
MAIN = """import json, os, sys
fds = [int(fd) for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")]
shown = {"argv": sys.argv[1:], "fds": sorted(fds), "python": sys.executable}
shown |= {name: getattr(sys.flags, name) for name in ("no_site", "ignore_environment")}
print(json.dumps(shown))
sys.exit(7)
"""
PROJECT = """\
[project]
dependencies = ["pip"]
[project.optional-dependencies]
test = ["pip >= 1"]
notebook = ["pip >= 2"]
"""


class Repository:
    """A copy of the launcher, with an environment to call it in."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.venv = root / "venv"
        self.bin = root / "bin"  # what is put here is found before the real commands

    @classmethod
    def make(cls, root: Path) -> "Repository":
        (root / "steps/05-cli").mkdir(parents=True)
        (root / "steps/05-cli/main.py").write_text(MAIN)
        (root / "bin").mkdir()
        (root / "pyproject.toml").write_text(PROJECT)
        for name in ("mydocker", "setup.sh"):
            (root / name).write_bytes((ROOT / name).read_bytes())
            (root / name).chmod(0o755)
        return cls(root)

    @property
    def env(self) -> dict[str, str]:
        return {
            "MYDOCKER_VENV": str(self.venv),
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "DEBIAN_FRONTEND": "dialog",
            "RECORD": str(self.root / "record"),
        }

    def run(
        self, *arguments: str, program: str | Path | None = None, cwd: Path = Path("/")
    ) -> subprocess.CompletedProcess[str]:
        return run(program or self.root / "mydocker", *arguments, env=self.env, cwd=cwd)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.root / "mydocker", *arguments],
            env=os.environ | self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def forget(self) -> None:
        """Make the next start look at everything again."""
        (self.venv / "stamp-run").unlink()

    def command(self, name: str, script: str) -> None:
        """Put a command of ours before the real one."""
        (self.bin / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.bin / name).chmod(0o755)

    def without_package(self, package: str) -> None:
        """Every package is there but this one, until the file `installed` appears."""
        self.command(
            "dpkg-query",
            f'case "$*" in *" {package}") [ -e "$RECORD.installed" ] || exit 1 ;; esac\n'
            "printf installed",
        )


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.make(tmp_path / "new")


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    repository = Repository.make(tmp_path_factory.mktemp("launcher") / "example")
    assert repository.run("setup").returncode == 0
    return repository


@pytest.fixture
def ready(tmp_path: Path, example: Repository) -> Repository:
    """A repository that is set up; copied, because making one takes seconds."""
    shutil.copytree(example.root, tmp_path / "ready", symlinks=True)
    return Repository(tmp_path / "ready")


def test_the_first_use_sets_up_and_the_second_only_runs(repository: Repository) -> None:
    first = repository.run("run", "it")
    assert first.returncode == 7, first.stderr
    assert first.stderr.splitlines() == [
        f"mydocker: making a virtual environment in {repository.venv}",
        "mydocker: installing Python packages: pip (less than a minute)",
    ]
    second = repository.run("run", "it")
    assert (second.returncode, second.stdout, second.stderr) == (7, first.stdout, "")


def test_the_command_line_gets_its_arguments_and_nothing_else(ready: Repository) -> None:
    arguments = ["run", "", "two words", "line\nbreak", "$HOME", "*", "--", "setup"]
    done = ready.run(*arguments)
    shown = json.loads(done.stdout)
    assert shown["argv"] == arguments
    assert shown["fds"] == [0, 1, 2], "the lock or another descriptor of the set-up got through"
    assert (shown["no_site"], shown["ignore_environment"]) == (1, 1)
    assert shown["python"] == os.path.realpath(ready.venv / "bin/python3")


def test_it_runs_from_anywhere_and_by_a_link(ready: Repository) -> None:
    link = ready.root / "bin/linked"
    link.symlink_to(ready.root / "mydocker")
    assert ready.run(program=link).returncode == 7
    assert ready.run(program="./mydocker", cwd=ready.root).returncode == 7
    assert ready.run("mydocker", program="sh", cwd=ready.root).returncode == 7


@pytest.mark.parametrize("seconds", [-1000, 1000])
def test_another_pyproject_is_set_up_again(ready: Repository, seconds: int) -> None:
    """Also an older one, as when an earlier commit is checked out."""
    project = ready.root / "pyproject.toml"
    time = project.stat().st_mtime + seconds
    os.utime(project, (time, time))
    done = ready.run()
    said = "mydocker: installing Python packages: pip (less than a minute)\n"
    assert (done.returncode, done.stderr) == (7, said)
    assert ready.run().stderr == ""


def test_setup_test_adds_what_the_suite_needs(ready: Repository) -> None:
    assert ready.run("setup").stderr == f"mydocker: set up in {ready.venv}\n"
    done = ready.run("setup", "--test")
    assert done.returncode == 0
    assert "installing Python packages: pip (a minute or two)\n" in done.stderr
    done = ready.run("setup", "--test")
    assert done.stderr == f"mydocker: set up in {ready.venv}\n"


def test_setup_test_is_enough_to_run(ready: Repository) -> None:
    assert ready.run("setup", "--test").returncode == 0
    done = ready.run()
    assert (done.returncode, done.stderr) == (7, "")


def test_notebook_is_set_up_at_its_first_use(ready: Repository) -> None:
    done = ready.run("notebook", "--port", "1")
    assert "installing Python packages: pip (a minute or two)\n" in done.stderr
    done = ready.run("notebook", "--port", "1")
    assert (json.loads(done.stdout)["argv"], done.stderr) == (["notebook", "--port", "1"], "")


@pytest.mark.parametrize("arguments", [["--tset"], ["now"], ["--test", "x"]], ids=" ".join)
def test_setup_refuses_what_it_does_not_know(repository: Repository, arguments: list[str]) -> None:
    done = repository.run("setup", *arguments)
    assert done.returncode == 125
    assert done.stderr.endswith("it is: ./mydocker setup [--test|--lab]\n")
    assert not repository.venv.exists()


@pytest.mark.parametrize("moment", ["making a virtual", "installing Python"])
def test_an_interrupted_setup_is_repeated(repository: Repository, moment: str) -> None:
    process = repository.start("setup")
    assert process.stderr
    assert any(moment in line for line in process.stderr)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stderr.close()
    (repository.venv / "half").touch()
    done = repository.run()
    assert done.returncode == 7, done.stderr
    assert "making a virtual environment" in done.stderr
    assert not (repository.venv / "half").exists(), "what an interrupted set-up left was kept"


def test_setups_at_once_do_it_once(repository: Repository) -> None:
    processes = [repository.start("setup") for _ in range(4)]
    said = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, said
    assert "".join(said).count("making a virtual environment") == 1
    assert "".join(said).count("installing Python packages") == 1


def test_a_folder_with_something_else_in_it_is_not_touched(repository: Repository) -> None:
    repository.venv.mkdir()
    (repository.venv / "thesis.txt").write_text("years of work")
    done = repository.run()
    assert done.returncode == 125
    assert done.stderr.count("\n") == 1
    assert "is not a virtual environment" in done.stderr
    assert [path.name for path in repository.venv.iterdir()] == ["thesis.txt"]


def test_a_failing_pip_is_told_and_not_forgotten(ready: Repository) -> None:
    ready.forget()
    (ready.root / "pyproject.toml").write_text('[project]\ndependencies = ["./no-such-folder"]\n')
    for _ in range(2):
        done = ready.run()
        assert done.returncode == 125
        assert "pip install failed" in done.stderr.splitlines()[-1]
        assert "no-such-folder" in (ready.venv / "setup.log").read_text()
        assert done.stdout == ""


# A package that is being built for ever, after half of it got into the environment.
BACKEND = """
import os, pathlib, site, time
def build_wheel(*_):
    half = pathlib.Path(os.environ["MYDOCKER_VENV"]) / "half-installed"
    (packages,) = pathlib.Path(os.environ["MYDOCKER_VENV"]).glob("lib/python3*/site-packages")
    (packages / "half").mkdir(exist_ok=True)
    half.touch()
    time.sleep(1000)
"""
BUILD = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


def with_extra(repository: Repository, requirement: str) -> None:
    """The extra `notebook` needs this; for the rest nothing changes, not even the time."""
    project = repository.root / "pyproject.toml"
    time = project.stat().st_mtime_ns
    project.write_text(PROJECT.replace("pip >= 2", requirement))
    os.utime(project, ns=(time, time))


def test_an_extra_that_fails_takes_nothing_away(ready: Repository) -> None:
    """As without a network, twice."""
    with_extra(ready, f"{ready.root}/no-such-folder")
    for _ in range(2):
        done = ready.run("notebook")
        assert done.returncode == 125 and "pip install failed" in done.stderr.splitlines()[-1]
        done = ready.run("ps")
        assert (done.returncode, done.stderr) == (7, "")
    with_extra(ready, "pip >= 2")
    assert ready.run("notebook").returncode == 7


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_extra_that_is_interrupted_takes_nothing_away(
    ready: Repository, number: signal.Signals
) -> None:
    slow = ready.root / "slow"
    slow.mkdir()
    (slow / "backend.py").write_text(BACKEND)
    (slow / "pyproject.toml").write_text(BUILD + '[project]\nname = "slow"\nversion = "1"\n')
    assert ready.run("setup", "--test").returncode == 0
    with_extra(ready, str(slow))
    (packages,) = ready.venv.glob("lib/python3*/site-packages")
    for _ in range(2):
        process = ready.start("notebook")
        try:
            eventually((ready.venv / "half-installed").exists, what="the package is being built")
        finally:
            os.killpg(process.pid, number)
            process.communicate()
        (ready.venv / "half-installed").unlink()
        assert (packages / "half").exists()
        done = ready.run("ps")
        assert (done.returncode, done.stderr) == (7, "")
    with_extra(ready, "pip >= 2")
    done = ready.run("notebook")
    assert done.returncode == 7 and "virtual environment" not in done.stderr
    assert not (packages / "half").exists(), "what an interrupted set-up left was kept"
    assert (packages / "pip").exists()
    assert ready.run("setup", "--test").returncode == 0


def test_an_update_that_fails_takes_nothing_away(ready: Repository) -> None:
    """A newer pyproject.toml asks for what cannot be had: the older one still works."""
    project = ready.root / "pyproject.toml"
    old = project.stat().st_mtime_ns
    project.write_text('[project]\ndependencies = ["./no-such-folder"]\n')
    assert ready.run().returncode == 125
    project.write_text(PROJECT)
    os.utime(project, ns=(old, old))
    done = ready.run()
    assert (done.returncode, done.stderr) == (7, "")


def test_requirements_are_printed_as_names(ready: Repository) -> None:
    ready.forget()
    (ready.root / "pyproject.toml").write_text(
        "[project]\ndependencies = [\"pip>=1,<99; (python_version < '4')\"]\n"
    )
    said = ready.run().stderr
    assert said == "mydocker: installing Python packages: pip (less than a minute)\n"


def test_missing_packages_are_installed_by_root(ready: Repository) -> None:
    ready.forget()
    ready.without_package("nftables")
    ready.command("id", "echo 0")
    ready.command(
        "apt-get",
        'echo "$DEBIAN_FRONTEND $*" >>"$RECORD"\n'
        'case "$*" in *install*) touch "$RECORD.installed" ;; esac',
    )
    done = ready.run()
    assert done.returncode == 7, done.stderr
    assert done.stderr.splitlines()[0] == "mydocker: installing Debian packages: nftables"
    options = "noninteractive -q -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0"
    assert (ready.root / "record").read_text().splitlines() == [
        f"{options} update",
        f"{options} install -y --no-install-recommends nftables",
    ]


def test_a_failing_apt_is_told_and_not_forgotten(ready: Repository) -> None:
    ready.forget()
    ready.without_package("nftables")
    ready.command("id", "echo 0")
    ready.command("apt-get", "echo E: no way; exit 100")
    for _ in range(2):
        done = ready.run()
        assert done.returncode == 125
        assert "E: no way" in done.stderr
        assert "apt-get could not install nftables" in done.stderr.splitlines()[-1]


def test_who_is_not_root_is_told_what_to_run(repository: Repository) -> None:
    repository.without_package("nftables")
    repository.command("id", "echo 1000")
    done = repository.run()
    assert done.returncode == 125
    assert done.stderr == (
        "mydocker: missing Debian packages; run: sudo apt-get install nftables\n"
    )
    assert not repository.venv.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="hides the machine's Python by a mount, as root")
def test_an_old_python_is_one_clear_line(repository: Repository) -> None:
    """In a mount namespace of its own, where every python3 is one that calls itself 3.9."""
    repository.command("python3", 'case $1 in --version) echo "Python 3.9.2" ;; *) exit 1 ;; esac')
    script = 'mount --bind "$1/bin/python3" "$(readlink -f /usr/bin/python3)" && "$1/mydocker"'
    unshare = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]
    done = run(*unshare, str(repository.root), env=repository.env)
    assert done.returncode == 125
    assert done.stderr == (
        "mydocker: needs Python 3.11 or newer and found Python 3.9.2; "
        "on Debian 12: apt-get install python3\n"
    )


def test_too_few_descriptors_for_the_shell_are_told(ready: Repository) -> None:
    limited = ["prlimit", "--nofile=12", str(ready.root / "mydocker")]
    done = run(*limited, env=ready.env)
    if done.returncode != 7:  # another shell may do with fewer
        assert done.returncode == 125
        assert "ulimit -n 1024" in done.stderr.splitlines()[-1]


def test_the_fast_path_starts_no_other_program(ready: Repository) -> None:
    """Nothing is started but sh itself, and then Python in its place."""
    trace = ready.root / "trace"
    strace = ["strace", "-f", "-o", str(trace), "-e", "trace=execve,fork,vfork,clone,clone3"]
    done = run(*strace, ready.root / "mydocker", env=ready.env)
    assert done.returncode == 7, done.stderr
    calls = [line.split(None, 1)[1] for line in trace.read_text().splitlines()]
    programs = [call.split('"')[1] for call in calls if call.startswith("execve(")]
    assert programs == [str(ready.root / "mydocker"), os.path.realpath(sys.executable)]
    assert not [call for call in calls if call.startswith(("fork", "vfork", "clone"))]

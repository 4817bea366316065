"""./test chooses folders, hands options through, and its exit code is pytest's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from house.programs import ROOT, VENV, run

TEST = "def test_it(request):\n    print('\\nSTEPS', request.config.getoption('steps'))\n"
CONFTEST = """def pytest_addoption(parser):
    parser.addoption('--steps')
    parser.addoption('--all', action='store_true')
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A small suite with the real ./test, in a virtual environment that is set up already."""
    for name in ("test", "setup.sh", ".ci/run"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
        (tmp_path / name).chmod(0o755)
    (tmp_path / "pyproject.toml").write_text('[tool.pytest.ini_options]\ntestpaths = ["tests"]\n')
    for folder in ("01-one", "02-two", "chapters"):
        (tmp_path / "tests" / folder).mkdir(parents=True)
        (tmp_path / "tests" / folder / f"test_{folder[-3:]}.py").write_text(TEST)
    (tmp_path / "tests/support").mkdir()  # has no tests, is not to be chosen
    (tmp_path / "tests/conftest.py").write_text(CONFTEST)
    (tmp_path / "copy of steps").mkdir()
    (tmp_path / "copy of steps/layers.py").touch()

    venv = tmp_path / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    (site,) = venv.glob("lib/python3*/site-packages")
    (ours,) = VENV.glob("lib/python3*/site-packages")
    (site / "dependencies.pth").write_text(f"{ours}\n")
    (venv / "stamp-test").write_text(f"{venv}/bin/python3\n")
    time = (tmp_path / "pyproject.toml").stat()
    os.utime(venv / "stamp-test", ns=(time.st_atime_ns, time.st_mtime_ns))
    return tmp_path


def suite(
    repository: Path, *arguments: str, program: tuple[str, ...] = ("./test",), path: str = ""
) -> subprocess.CompletedProcess[str]:
    environment = {"MYDOCKER_VENV": "", "PATH": f"{path}:{os.environ['PATH']}".lstrip(":")}
    return run(*program, *arguments, cwd=repository, env=environment)


@pytest.mark.parametrize(
    ("arguments", "chosen"),
    [
        ("", ["01-one", "02-two", "chapters"]),
        ("02", ["02-two"]),
        ("02-two", ["02-two"]),
        ("chapters 01", ["chapters", "01-one"]),
        ("-- -k two", ["02-two"]),
        ("01 02 -- -k one", ["01-one"]),
    ],
)
def test_selection(repository: Path, arguments: str, chosen: list[str]) -> None:
    done = suite(repository, *arguments.split(), *([] if "--" in arguments else ["--"]), "-v")
    assert done.returncode == 0, done.stdout + done.stderr
    passed = [line.split("/")[1] for line in done.stdout.splitlines() if " PASSED" in line]
    assert passed == chosen
    assert f"{len(chosen)} passed" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    "arguments", [["99"], ["0"], [""], ["01", "two"], ["support"], ["-x"]], ids=" ".join
)
def test_an_unknown_selector_is_one_line(repository: Path, arguments: list[str]) -> None:
    done = suite(repository, *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.endswith("; known: 01-one 02-two chapters\n")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("form", [["--steps", "copy of steps"], ["--steps=copy of steps"]])
def test_another_copy_of_the_steps(repository: Path, form: list[str]) -> None:
    done = suite(repository, *form, "01", "--", "-s")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"STEPS {repository}/copy of steps\n" in done.stdout
    assert "1 passed" in done.stdout


@pytest.mark.parametrize("form", [["--steps"], ["--steps", "/nowhere"], ["--steps=tests"]])
def test_a_copy_of_the_steps_that_is_none(repository: Path, form: list[str]) -> None:
    done = suite(repository, *form)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--steps wants a copy of the folder steps/" in done.stderr


@pytest.mark.parametrize(("arguments", "told"), [(["--all"], True), ([], False)])
def test_all(repository: Path, arguments: list[str], told: bool) -> None:
    test = "def test_it(request):\n    print('\\nALL', request.config.getoption('all'))\n"
    (repository / "tests/01-one/test_one.py").write_text(test)
    done = suite(repository, *arguments, "01", "--", "-s")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"ALL {told}\n" in done.stdout


def test_the_virtual_environment_is_told_to_the_tests(repository: Path) -> None:
    """By its full name, which also holds for a copy of the steps without one beside it."""
    (repository / "tests/chapters/test_ers.py").write_text(
        "import os\n\ndef test_it():\n    print('\\nVENV', os.environ['MYDOCKER_VENV'])\n"
    )
    for venv in ("", f"../{repository.name}/.venv"):
        done = run("./test", "chapters", "--", "-s", cwd=repository, env={"MYDOCKER_VENV": venv})
        assert done.returncode == 0, done.stdout + done.stderr
        (line,) = [line for line in done.stdout.splitlines() if line.startswith("VENV ")]
        assert line == f"VENV {repository}/{venv or '.venv'}"


def test_from_another_folder(repository: Path) -> None:
    done = run(repository / "test", "01", cwd=Path("/"), env={"MYDOCKER_VENV": ""})
    assert done.returncode == 0, done.stdout + done.stderr


def test_by_a_link(repository: Path) -> None:
    link = repository / "copy of steps/link"
    link.symlink_to("../test")
    done = run(link, "01", cwd=Path("/"), env={"MYDOCKER_VENV": ""})
    assert done.returncode == 0, done.stdout + done.stderr


def test_help(repository: Path) -> None:
    done = suite(repository, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("test: runs the test suite")
    assert "root=" not in done.stdout


@pytest.fixture
def no_packages(repository: Path) -> Path:
    """Commands that come before the real ones: no package is there, and none is installed. Whoever
    runs the suite did not ask for a dockerd on his machine."""
    place = repository / "bin"
    place.mkdir()
    for name, script in {
        "dpkg-query": "exit 1",
        "apt-get": f'echo "$*" >>{repository}/apt',
    }.items():
        (place / name).write_text(f"#!/bin/sh\n{script}\n")
        (place / name).chmod(0o755)
    return place


def test_ci_runs_the_suite_and_fails_with_it(repository: Path, no_packages: Path) -> None:
    """And after it the tests in the virtual machine, which is another program's affair."""
    machine = repository / ".ci/vm"
    machine.write_text("#!/bin/sh\necho the machine\nexit 3\n")
    machine.chmod(0o755)
    path = str(no_packages)
    done = suite(repository, program=("bash", ".ci/run"), path=path)
    update, install = (repository / "apt").read_text().splitlines()
    assert "update" in update and "install -y --no-install-recommends docker.io" in install
    assert "3 passed" in done.stdout.splitlines()[-2]
    assert (done.stdout.splitlines()[-1], done.returncode) == ("the machine", 3)
    (repository / "tests/chapters/test_ers.py").write_text("def test_it():\n    assert False\n")
    done = suite(repository, program=("bash", ".ci/run"), path=path)
    assert done.returncode == 1
    assert "1 failed, 2 passed" in done.stdout.splitlines()[-1]

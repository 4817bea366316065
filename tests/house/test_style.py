"""The linters are tests: ruff, mypy (strict), and `sh -n` for every shell script."""

import subprocess
import sys
from pathlib import Path

import pytest

from house.programs import ROOT, VENV, run

# What is one package is checked as one. The rest has files of one name in several folders (`main`,
# `conftest`), which mypy refuses to see in one run: each folder has its own.
PACKAGES = [*(["vm"] if (ROOT / "vm").is_dir() else []), "workbench"]
# mypy's -p takes the first folder of a namespace package for the whole: all are named.
LAYERS = [str(path) for path in (*sorted(ROOT.glob("steps/*/mydocker")), ROOT / "learn/mydocker")]
MAINS = sorted(ROOT.glob("steps/*/main.py"))
PYTHON = [
    path for top in ("tests", "benchmarks", "chapters") for path in ROOT.glob(f"{top}/**/*.py")
]
FOLDERS = sorted({path.parent for path in PYTHON})
APART = [*([main] for main in MAINS), *(sorted(folder.glob("*.py")) for folder in FOLDERS)]
RUNS = [
    LAYERS,
    *(["-p", name] for name in PACKAGES),
    *([str(path.relative_to(ROOT)) for path in files] for files in APART),
    ["notebooks/build.py"],
]


def shell_scripts() -> list[Path]:
    files = [path for path in ROOT.iterdir() if path.is_file()]
    files += [path for name in (".ci", "vm", "tests") for path in (ROOT / name).rglob("*")]
    scripts = [path for path in files if path.is_file() and path.suffix in ("", ".sh")]
    return sorted(path for path in scripts if path.suffix == ".sh" or is_shell(path))


def is_shell(path: Path) -> bool:
    first = path.read_bytes().partition(b"\n")[0]
    return first.startswith(b"#!") and first.endswith(b"sh")


@pytest.mark.parametrize("arguments", [["check"], ["format", "--check", "--diff"]], ids=" ".join)
def test_ruff(arguments: list[str]) -> None:
    done = run(sys.executable, "-m", "ruff", *arguments, "--cache-dir", VENV / "ruff-cache", ".")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("what", [*RUNS, ["-m", "layers"]], ids=lambda what: what[-1])
def test_mypy(what: list[str]) -> None:
    done = run(sys.executable, "-m", "mypy", "--cache-dir", VENV / "mypy-cache", *what)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_shell_scripts_are_found() -> None:
    names = {str(path.relative_to(ROOT)) for path in shell_scripts()}
    assert {"mydocker", "test", "setup.sh", ".ci/run"} <= names


@pytest.mark.parametrize("script", shell_scripts(), ids=lambda path: str(path.relative_to(ROOT)))
def test_shell_syntax(script: Path) -> None:
    shell = "bash" if "bash" in script.read_text().splitlines()[0] else "sh"
    done = subprocess.run([shell, "-n", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

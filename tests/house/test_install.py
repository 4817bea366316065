"""The one distribution `mydocker`: editable and wheel, built from the step folders.

Built with what the test set-up installed (no build isolation), into an environment that sees the
suite's packages by a `.pth` file: so this works without a network.
"""

import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from house.programs import ROOT, STEPS, run

LAYERS = [*sorted(STEPS.glob("[0-9][0-9]-*/mydocker")), ROOT / "learn/mydocker"]

IMPORT_ALL = """
import importlib, sys
for name in sys.argv[2:]:
    file = importlib.import_module(name).__file__
    assert file.startswith(sys.argv[1]), f"{name} is from {file}"
"""


def sources() -> dict[str, Path]:
    """Every file of the layers by its name in the merged package."""
    return {
        str(path.relative_to(layer.parent)): path
        for layer in LAYERS
        for path in layer.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def module_names() -> list[str]:
    names = [name.removesuffix(".py").replace("/", ".") for name in sources() if name[-3:] == ".py"]
    return [name.removesuffix(".__init__") for name in names]


@pytest.fixture
def environment(
    tmp_path: Path,
) -> Path:
    """A fresh virtual environment that has our dependencies and not yet ourselves."""
    new = tmp_path / "venv"
    done = run(sys.executable, "-m", "venv", "--without-pip", new)
    assert done.returncode == 0, done.stderr
    (site,) = new.glob("lib/python3*/site-packages")
    (ours,) = Path(sys.prefix).glob("lib/python3*/site-packages")
    (site / "dependencies.pth").write_text(f"{ours}\n")
    return new


def pip(environment: Path, *arguments: str | Path) -> None:
    """Run the suite's pip on the environment."""
    python = environment / "bin/python"
    command = [sys.executable, "-m", "pip", "--python", python, "-q", *arguments, "--no-deps"]
    done = run(*command, "--no-build-isolation")
    assert done.returncode == 0, done.stderr


def check(environment: Path, place: Path) -> None:
    python = environment / "bin/python"
    done = run(python, "-I", "-c", IMPORT_ALL, place, *module_names(), cwd=Path("/"))
    assert done.returncode == 0, done.stderr
    if (STEPS / "05-cli/mydocker/cli/main.py").exists():
        done = run(environment / "bin/mydocker", "--help", cwd=Path("/"))
        assert done.returncode == 0, done.stderr
        assert "Usage: mydocker" in done.stdout


def test_wheel(tmp_path: Path, environment: Path) -> None:
    pip(environment, "wheel", "--wheel-dir", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("mydocker-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("mydocker/")}
        assert packed == set(sources()), "the wheel is exactly the layers laid over one another"
        assert all(archive.read(name) == sources()[name].read_bytes() for name in packed)
    pip(environment, "install", wheel)
    check(environment, environment)


def test_editable(environment: Path) -> None:
    pip(environment, "install", "--editable", ROOT)
    check(environment, ROOT)


def test_no_two_layers_have_the_same_file() -> None:
    names = [path.relative_to(layer) for layer in LAYERS for path in layer.rglob("*.py")]
    assert len(names) == len(set(names))


def test_every_step_is_listed() -> None:
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    wheel = tool["hatch"]["build"]["targets"]["wheel"]
    for layer in LAYERS:
        step = str(layer.parent.relative_to(ROOT))
        assert f"{step}/mydocker" in wheel["only-include"]
        assert step in wheel["sources"]
        assert step in wheel["dev-mode-dirs"]
        assert f"$MYPY_CONFIG_FILE_DIR/{step}" in tool["mypy"]["mypy_path"]

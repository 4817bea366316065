"""README.md and course.toml tell the truth: the commands, files and links in them exist."""

import re
import tomllib
from typing import Any

import pytest

from house.programs import ROOT, STEPS

README = (ROOT / "README.md").read_text()
COURSE = tomllib.loads((ROOT / "course.toml").read_text())
STEP_LIST: list[dict[str, Any]] = COURSE["steps"]
NEEDS = {"root", "cgroups", "overlay", "bridge", "busybox", "ip", "nft"}


def commands() -> list[str]:
    """What a reader may type: the lines of shell blocks, and commands in `code` and tables."""
    blocks = re.findall(r"^```sh\n(.*?)^```", README, re.M | re.S)
    return [
        *(line for block in blocks for line in block.splitlines() if line.strip()),
        *re.findall(r"`((?:sudo |python3 |\./)[^`]*)`", README),
    ]


def test_the_two_commands_come_first() -> None:
    assert commands()[:2] == [
        "sudo ./mydocker run --rm -it -m 100M --cpus 0.5 --hostname box busybox sh",
        "sudo ./test",
    ]


@pytest.mark.parametrize("command", sorted(set(commands())))
def test_a_command_of_the_readme_exists(command: str) -> None:
    files = [word for word in command.split() if word.startswith(("./", "steps/"))]
    assert files, "names no program of ours"
    for name in files:
        path = ROOT / name
        assert path.is_file()
        assert path.suffix == ".py" or path.stat().st_mode & 0o111, f"{name} is not executable"


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#:]+)\)", README))
def test_a_link_of_the_readme_exists(target: str) -> None:
    assert (ROOT / target).exists()


def test_the_layout_in_the_readme_exists() -> None:
    (block,) = re.findall(r"## Where things are\n+```\n(.*?)```", README, re.S)
    for line in block.splitlines():
        if not line.startswith(" "):
            assert (ROOT / line.split()[0]).exists(), line


def test_the_readme_names_every_package_of_the_setup() -> None:
    lists = re.findall(r"^packages_\w+='(.*)'$", (ROOT / "setup.sh").read_text(), re.M)
    packages = [pair.split(":")[0] for line in lists for pair in line.split()]
    assert len(packages) > 6
    assert [name for name in packages if f"`{name}`" not in README] == []


def test_the_steps_of_the_course_are_in_order() -> None:
    assert [step["number"] for step in STEP_LIST] == list(range(1, len(STEP_LIST) + 1))
    for step in STEP_LIST:
        assert set(step) >= {"number", "title", "folder", "chapter", "needs"}
        assert re.fullmatch(rf"steps/{step['number']:02}-[a-z0-9]+", step["folder"])
        assert step["chapter"] == f"chapters/{step['folder'].removeprefix('steps/')}.md"
        assert set(step["needs"]) <= NEEDS


def test_what_is_built_is_in_the_course_and_has_tests() -> None:
    built = sorted(path.parent.name for path in STEPS.glob("*/main.py"))
    listed = [step["folder"].removeprefix("steps/") for step in STEP_LIST]
    assert built == listed[: len(built)], "a step without those before it, or not in course.toml"
    for name in built:
        assert (STEPS / name / "mydocker").is_dir()
        assert list((ROOT / "tests" / name).glob("test_*.py")), f"tests/{name} has no tests"


def test_chapters_that_are_written_are_in_the_course() -> None:
    written = {f"chapters/{path.name}" for path in ROOT.glob("chapters/0[1-9]-*.md")}
    assert written <= {step["chapter"] for step in STEP_LIST}

"""The documents in the root and course.toml are true: commands, files and links in them exist."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from house.documents import blocks, code, exists, links
from house.programs import ROOT, STEPS
from house.test_layers import FOLDERS, MODULES
from house.test_style import shell_scripts

README = (ROOT / "README.md").read_text()
PAGES = {page.name: page.read_text() for page in sorted(ROOT.glob("*.md"))}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
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


@pytest.mark.parametrize(
    ("page", "link"), [(page, link) for page in PAGES for link in sorted(set(links(PAGES[page])))]
)
def test_a_link_of_a_page_exists(page: str, link: str) -> None:
    assert exists(link), f"{page}: {link}"


def test_the_pages_that_whoever_carries_this_on_looks_for_are_there() -> None:
    wanted = {"ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "README.md", "SECURITY.md"}
    assert wanted <= set(PAGES)
    assert wanted - {"README.md"} <= set(links(README)), "README leads to each"


def test_the_layout_in_the_readme_exists() -> None:
    (block,) = re.findall(r"## Where things are\n+```\n(.*?)```", README, re.S)
    for line in block.splitlines():
        if not line.startswith(" "):
            assert (ROOT / line.split()[0]).exists(), line


CONTRIBUTING = PAGES["CONTRIBUTING.md"]
PROGRAMS = {".venv/bin/ruff", ".venv/bin/python3", "mydocker"}  # made by the set-up
TYPED = sorted({*blocks(CONTRIBUTING), *(c for c in code(CONTRIBUTING) if c.startswith("sudo "))})


def words_of(command: str) -> list[str]:
    words = command.removeprefix("sudo ").split()
    assert words[0] in PROGRAMS or exists(words[0]), f"there is no {words[0]}"
    return words


@pytest.mark.parametrize("command", TYPED)
def test_a_command_of_contributing_exists(command: str) -> None:
    """Its program, the folders of tests that it names, and the options of our own programs."""
    program, *words = words_of(command)
    match program:
        case "./test":
            chosen = words[: words.index("--")] if "--" in words else words
            for word in chosen:
                known = word == "--all" or any((ROOT / "tests").glob(f"{word}*/test_*.py"))
                assert known, f"no tests are called {word}"
            if "-k" in words and (name := words[words.index("-k") + 1]) != "NAME":
                assert list((ROOT / "tests").rglob(f"{name}.py"))
        case ".venv/bin/python3":
            script = ROOT / words[0]
            for option in [word for word in words if word.startswith("--")]:
                assert option in script.read_text(), f"{words[0]} knows no {option}"
            for page in [word for word in words if word.endswith(".md")]:
                assert (ROOT / "chapters" / page).exists()


def test_a_word_in_contributing_that_looks_like_a_file_is_one() -> None:
    """From the root, or from the layer of any step: `container/order.py`."""
    layers = [*FOLDERS, ROOT / "learn"]
    wrong = []
    for text in code(CONTRIBUTING):
        if re.fullmatch(r"\.?[\w-]+(/[\w.-]+)*(/|\.\w+)", text) and not re.match(
            r"(steps|tests)/06-name|mydocker/name", text
        ):
            bare = any(path.name == text for path in MODULES.values())
            inside = any((layer / "mydocker" / text).exists() for layer in layers)
            if not (exists(text) or inside or bare):
                wrong.append(text)
    assert wrong == []


def test_contributing_has_a_test_for_every_folder_of_tests() -> None:
    rows = re.findall(r"^\|.*`sudo \./test.*$", CONTRIBUTING, re.M)
    named = {word for row in rows for word in re.findall(r"[\w-]+", row)}
    for folder in sorted({path.parent.name for path in ROOT.glob("tests/*/test_*.py")}):
        assert folder in named or folder[:2] in named, f"when are the tests of {folder} to be run?"


def test_contributing_tells_how_to_add_all_that_can_be_added() -> None:
    told = re.findall(r"^\*\*an? ([a-z]+)", CONTRIBUTING, re.M)
    assert {"option", "part", "step", "exercise", "page", "translation"} <= set(told)


def test_the_changelog_ends_with_the_version_that_is_here() -> None:
    headings = re.findall(r"^## \[(.+?)\](?: - (\d{4}-\d\d-\d\d))?$", PAGES["CHANGELOG.md"], re.M)
    assert headings[0] == ("Unreleased", "")
    assert headings[1][0] == PROJECT["project"]["version"] and headings[1][1]
    kinds = set(re.findall(r"^### (.+)$", PAGES["CHANGELOG.md"], re.M))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def hooks() -> list[dict[str, Any]]:
    told = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [repo["repo"] for repo in told["repos"]] == ["local"], "nothing is downloaded"
    found: list[dict[str, Any]] = told["repos"][0]["hooks"]
    return found


def test_the_hooks_before_a_commit_run_what_the_tests_of_style_run() -> None:
    found = hooks()
    assert {hook["language"] for hook in found} == {"system"}
    entries = " ; ".join(hook["entry"] for hook in found)
    style = (ROOT / "tests/house/test_style.py").read_text()
    for words, test in (
        ('ruff" check', '["check"]'),
        ('ruff" format --check', '["format", "--check"'),
        ("-k test_mypy", "def test_mypy("),
        ("-k test_shell_syntax", "def test_shell_syntax("),
    ):
        assert words in entries and test in style
    assert not list(ROOT.glob("tests/*/test_mypy*")), "-k means the one test"


def test_the_workflow_runs_what_ci_runs() -> None:
    told = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    steps = [step for job in told["jobs"].values() for step in job["steps"]]
    programs = [step["run"].split()[0] for step in steps if "run" in step]
    assert programs[-1] == ".ci/run" and exists(".ci/run")
    assert {program for program in programs if "/" in program} == {".ci/run"}


def test_files_are_as_the_editor_is_told_to_write_them() -> None:
    told = (ROOT / ".editorconfig").read_text()
    assert f"max_line_length = {PROJECT['tool']['ruff']['line-length']}\n" in told
    pages = [ROOT / name for name in PAGES]
    for path in [*MODULES.values(), *pages, *shell_scripts(), ROOT / ".editorconfig"]:
        data = path.read_bytes()
        assert b"\r" not in data, path
        assert not data or data.endswith(b"\n"), path
        assert b"\t" not in data or not is_python(path), path


def is_python(path: Path) -> bool:
    return path.suffix == ".py"


def test_the_readme_names_every_package_of_the_setup() -> None:
    lists = re.findall(r"^packages_\w+='(.*)'$", (ROOT / "setup.sh").read_text(), re.M)
    packages = [pair.split(":")[0] for line in lists for pair in line.split()]
    assert len(packages) > 6
    assert [name for name in packages if f"`{name}`" not in README] == []


def test_the_steps_of_the_course_are_in_order() -> None:
    numbers = [step["number"] for step in STEP_LIST]
    assert numbers == sorted(set(numbers)), "each once; steps of part II are built side by side"
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

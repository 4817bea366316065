"""ARCHITECTURE.md is true: its rooms, files and names exist, in the order that is enforced."""

import ast
import re

import pytest

from house.documents import code, exists
from house.programs import ROOT, STEPS
from house.test_layers import HOUSES, MODULES, ORDER, room

PAGE = (ROOT / "ARCHITECTURE.md").read_text()
ROWS = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \| (.+) \|$", PAGE, re.M)
ROOMS = [(name, place) for name, place, _ in ROWS if name in ORDER]
PACKAGES = {module.split(".")[1] for module in MODULES}
SHORT = {name.removeprefix("mydocker."): path for name, path in MODULES.items()}
SHORT["layers"] = STEPS / "layers.py"
WORDS = sorted({text for text in code(PAGE) if re.fullmatch(r"[\w]+(\.\w+)+", text)})
SUFFIXES = (".py", ".json", ".md")  # of files; all other words with dots are names in Python
NAMES = [word for word in WORDS if not word.endswith(SUFFIXES)]
SOURCES = {path.name for path in MODULES.values()}
FILES = sorted({text for text in code(PAGE) if re.fullmatch(r"[\w.-]+(/[\w.-]+)+/?", text)})


def test_the_rooms_stand_in_the_order_that_is_enforced() -> None:
    assert [name for name, _ in ROOMS] == ORDER


@pytest.mark.parametrize(("name", "place"), ROOMS)
def test_a_room_is_where_the_page_says(name: str, place: str) -> None:
    inside = [path for module, path in MODULES.items() if room(module) == name]
    assert inside
    for path in inside:
        assert f"{path.relative_to(ROOT)}".startswith(place)


def test_the_page_says_what_every_room_owns() -> None:
    assert {room(module) for module in MODULES} - set(HOUSES) == {name for name, _ in ROOMS}
    assert [name for name, place, owns in ROWS if name in ORDER and len(owns) < 4] == []


@pytest.mark.parametrize("file", FILES)
def test_a_file_of_the_page_exists(file: str) -> None:
    assert exists(file), file


@pytest.mark.parametrize("file", [word for word in WORDS if word.endswith((".py", ".md"))])
def test_a_file_of_the_page_that_is_named_without_its_folder_exists(file: str) -> None:
    assert file in SOURCES or exists(file)


def names_in(tree: ast.Module | ast.ClassDef) -> dict[str, ast.AST]:
    """What a module or class defines: functions, classes, constants, fields."""
    found: dict[str, ast.AST] = {}
    for node in ast.walk(tree) if isinstance(tree, ast.Module) else tree.body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                found.setdefault(name, node)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                found[name] = node
    return found


def missing(name: str) -> str:
    """The part of a dotted name that is not there, "" if all is."""
    words = name.split(".")
    for length in range(len(words), 0, -1):
        module = ".".join(words[:length])
        if module in SHORT or any(known.startswith(f"{module}.") for known in SHORT):
            break
    else:
        return name
    if length == len(words):
        return ""
    if module not in SHORT:
        return words[length]
    node: ast.AST = ast.parse(SHORT[module].read_text())
    for word in words[length:]:
        assert isinstance(node, (ast.Module, ast.ClassDef)), name
        known_names = names_in(node)
        if word not in known_names:
            return word
        node = known_names[word]
    return ""


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_the_page_exists(name: str) -> None:
    assert missing(name) == "", f"there is no {name}"


def test_what_the_page_mentions_is_found_and_a_wrong_name_is_noticed() -> None:
    assert len(ROOMS) > 20 and len(FILES) > 20 and len(NAMES) > 40
    assert missing("engine.life.creation.nothing") == "nothing"
    assert missing("container.running.Container.nothing") == "nothing"
    assert missing("engine.nowhere") == "nowhere"
    assert missing("nowhere.at_all") == "nowhere.at_all"
    assert not exists("steps/nowhere.py")


def test_the_page_is_one_page() -> None:
    assert len(PAGE.splitlines()) <= 180
    assert len(PAGE) < 16_000

"""The pictures show what is: each is drawn again from a run, and compared with the book's."""

import re
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox.machine import Sandbox

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "chapters"))
import pictures  # noqa: E402
import transcripts  # noqa: E402


@pytest.fixture(scope="module")
def machine(sandbox: Sandbox) -> Iterator[transcripts.Machine]:
    made = transcripts.Machine(sandbox.steps, sandbox.directory / "pictures")
    yield made
    made.close()


@pytest.mark.root
@pytest.mark.parametrize("name", pictures.ALL)
def test_a_picture_is_as_it_would_be_drawn_now(name: str, machine: transcripts.Machine) -> None:
    if not pictures.can_draw(name):
        pytest.skip("the book's picture is of cgroup v1")
    drawn = pictures.ALL[name](machine)
    stored = (pictures.PICTURES / f"{name}.svg").read_text()
    assert transcripts.masked(drawn, ()) == transcripts.masked(stored, ()), (
        "run: python3 chapters/book.py --pictures"
    )


@pytest.mark.parametrize("name", pictures.ALL)
def test_its_words_are_in_both_languages(name: str) -> None:
    """What is said in a picture is said in Chinese; what the kernel calls so, stays."""
    english = (pictures.PICTURES / f"{name}.svg").read_text()
    chinese = (pictures.PICTURES / f"{name}.zh.svg").read_text()
    assert chinese == pictures.in_chinese(english), "run: python3 chapters/book.py --pictures"
    prose = [word for word in words(f"{name}.zh") if len(re.findall(r"\b[a-z]{2,}\b", word)) > 1]
    assert [word for word in prose if not re.search(r"[_=:/.]|--|sleep|[0-9a-f]{8}", word)] == []


def words(name: str) -> list[str]:
    drawing = ElementTree.parse(pictures.PICTURES / f"{name}.svg")
    return [element.text or "" for element in drawing.iter() if element.tag.endswith("text")]


def test_what_they_show() -> None:
    """Not only the same as before: the subject of each is in it."""
    found = words("namespaces")
    assert sum(word.startswith("uts:[") for word in found) == 2
    assert sum(word.startswith("net:[") for word in found) == 1
    found = words("pids")
    assert [word for word in found if word.startswith("inside: pid ")] == [
        f"inside: pid {pid}" for pid in (1, 2, 3)
    ]
    assert len([word for word in found if word.startswith("outside: pid ")]) == 4
    assert {"memory.limit_in_bytes = 104857600", "pids.max = 20"} <= set(words("cgroups"))
    assert {"whiteout", "copied up, changed", "shows through", "new"} <= set(words("layers"))
    assert any("8080" in word for word in words("network"))


def test_each_is_in_a_chapter_and_needs_nothing_from_elsewhere() -> None:
    chapters = "".join(path.read_text() for path in (ROOT / "chapters").rglob("*.md"))
    for path in pictures.PICTURES.iterdir():
        assert f"pictures/{path.name})" in chapters
        assert "href" not in path.read_text()
    drawn = set(pictures.ALL) | {f"{name}.zh" for name in pictures.ALL}
    assert {path.stem for path in pictures.PICTURES.iterdir()} == drawn

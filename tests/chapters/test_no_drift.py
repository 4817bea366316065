"""The book says what the code is: its pieces are the source's, and its links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from sandbox.machine import Sandbox

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "chapters"))
import book  # noqa: E402

CHAPTERS = sorted((ROOT / "chapters").glob("*.md"))


def weave(chapter: Path) -> subprocess.CompletedProcess[str]:
    script = f"import book; raise SystemExit(book.weave([{str(chapter)!r}], '--check'))"
    command = [sys.executable, "-c", script]
    return subprocess.run(command, cwd=ROOT / "chapters", capture_output=True, text=True)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.name)
def test_code_is_the_source(chapter: Path, sandbox: Sandbox) -> None:
    if "[[[cog explain(" in chapter.read_text() and not sandbox.private:
        pytest.skip("what a program asks of the kernel is seen by root")
    done = weave(chapter)
    assert done.returncode == 0, f"run: python3 chapters/book.py\n{done.stdout}{done.stderr}"


def test_drift_is_noticed(tmp_path: Path) -> None:
    """The check itself: a chapter whose code is not the source's is refused."""
    chapter = tmp_path / "drifted.md"
    begin = '<!-- [[[cog code("chapters/book.py", "weave") ]]] -->'
    chapter.write_text(f"{begin}\n```python\nold = True\n```\n<!-- [[[end]]] -->\n")
    assert weave(chapter).returncode == 5
    chapter.write_text(chapter.read_text().replace('"weave"', '"no_such_thing"'))
    assert "has no no_such_thing" in weave(chapter).stderr


def printed_answers(page: str) -> list[str]:
    """The exercises whose own lines stand in a page for all to see, and not in a fold."""
    unfolded = re.sub(r"<details.*?</details>", "", page, flags=re.S)
    lines = "\n".join(line.strip() for line in unfolded.splitlines())
    return [
        exercise
        for exercise, answer in ANSWERS
        if "\n".join(line.strip() for line in answer.splitlines()) in lines
    ]


ANSWERS = [
    (exercise, answer)
    for module in sorted(ROOT.glob("steps/*/mydocker/**/*.py"))
    for _, exercise, answer in book.REGION.findall(module.read_text())
]
PAGES = [*CHAPTERS, *sorted((ROOT / "chapters/zh").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT / "chapters")))
def test_no_answer_is_printed_before_the_reader_wrote_it(page: Path) -> None:
    assert printed_answers(page.read_text()) == []


def test_a_printed_answer_is_noticed(tmp_path: Path) -> None:
    assert len({exercise for exercise, _ in ANSWERS}) >= 30
    chapter = tmp_path / "told.md"
    place = '"steps/01-namespaces/mydocker/namespaces/parts.py", "PrivateMounts"'
    chapter.write_text(f"<!-- [[[cog code({place}) ]]] -->\n<!-- [[[end]]] -->\n")
    book.weave([str(chapter)], "-r")
    woven = chapter.read_text()
    assert "...  # exercise 1.1: yours to write" in woven
    assert "syscalls.MS_PRIVATE" in woven  # in the fold
    assert printed_answers(woven) == []
    assert printed_answers(re.sub(r"</?details.*>", "", woven)) == ["1.1"]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the website make them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(page: Path) -> list[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)[^)]*\)", text):
        file, _, anchor = link.partition("#")
        if file.startswith(("http:", "https:")):
            continue
        target = page.parent / file if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    return dead


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.name)
def test_links_lead_somewhere(chapter: Path) -> None:
    assert dead_links(chapter) == []


def test_a_dead_link_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One & two\n[a](#one--two) [b](#three) [c](page.md#one--two)\n[d](gone.md) ![e\nf](g.svg)"
    )
    assert dead_links(page) == ["#three", "gone.md", "g.svg"]


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.name)
def test_named_files_are_there(chapter: Path) -> None:
    """Paths of the repository in backquotes exist."""
    named = re.findall(r"`((?:steps|tests|chapters|vm|benchmarks)/[\w./-]+)`", chapter.read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []

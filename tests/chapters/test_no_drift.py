"""The book says what the code is: its pieces are the source's, and its links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHAPTERS = sorted((ROOT / "chapters").glob("*.md"))


def weave(chapter: Path) -> subprocess.CompletedProcess[str]:
    script = f"import book; raise SystemExit(book.weave([{str(chapter)!r}], '--check'))"
    command = [sys.executable, "-c", script]
    return subprocess.run(command, cwd=ROOT / "chapters", capture_output=True, text=True)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.name)
def test_code_is_the_source(chapter: Path) -> None:
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


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.name)
def test_links_lead_somewhere(chapter: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", chapter.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (chapter.parent / target).exists(), target


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.name)
def test_named_files_are_there(chapter: Path) -> None:
    """Paths of the repository in backquotes exist."""
    named = re.findall(r"`((?:steps|tests|chapters|vm|benchmarks)/[\w./-]+)`", chapter.read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []

"""The Chinese edition says what the English one says: no page is missing, no section is stale."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
CHAPTERS = ROOT / "chapters"


def imported(name: str) -> ModuleType:
    """A module of the chapters' folder, which is no package."""
    sys.path.insert(0, str(CHAPTERS))
    try:
        return __import__(name)
    finally:
        sys.path.remove(str(CHAPTERS))


terminology = imported("terminology")
translations = imported("translations")

PAGES = sorted(path.name for path in CHAPTERS.glob("*.md") if path.name != "terminology.md")
TRANSLATED = sorted(path.name for path in CHAPTERS.glob("zh/*.md"))


def english(name: str) -> str:
    return (CHAPTERS / name).read_text()


def chinese(name: str) -> str:
    return (CHAPTERS / "zh" / name).read_text()


def translation(name: str, chapters: Path = CHAPTERS) -> Any:
    return translations.Translation(name, chapters / name, chapters / "zh" / name)


@pytest.mark.parametrize("name", PAGES)
def test_is_translated_and_up_to_date(name: str) -> None:
    found = translation(name).complaints()
    assert found == [], "run: python3 chapters/translations.py"


def test_nothing_is_translated_that_is_not_there() -> None:
    assert set(TRANSLATED) <= set(PAGES)


@pytest.mark.parametrize("name", TRANSLATED)
def test_code_is_the_same(name: str) -> None:
    def blocks(text: str) -> list[str]:
        return [match[0] for match in re.finditer(r"^( *)(```+|~~~+).*?^\1\2$", text, re.M | re.S)]

    assert blocks(chinese(name)) == blocks(english(name))


def links(text: str) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)", re.sub(r"^ *```.*?^ *```$", "", text, flags=re.M | re.S))


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", TRANSLATED)
def test_links_stay_in_the_edition(name: str) -> None:
    """They are the original's, to the Chinese page where there is one, and lead somewhere."""
    found = []
    for link in links(chinese(name)):
        path, _, anchor = link.partition("#")
        if not link.startswith(("http://", "https://")):
            page = CHAPTERS / "zh" / (path or name)
            assert page.exists(), link
            assert not anchor or anchor in anchors(page.read_text()), link
        found.append(path)
    expected = []
    for link in links(english(name)):
        path = link.partition("#")[0]
        if path.startswith("zh/"):  # from one edition to the other, and back
            expected.append(path.replace("zh/", "../", 1))
        elif not path or path in PAGES or link.startswith(("http://", "https://")):
            expected.append(path)
        else:
            expected.append(f"../{path}".replace(".svg", ".zh.svg"))  # a picture has words, too
    assert found == expected


@pytest.mark.parametrize("name", TRANSLATED)
def test_emphasis_is_rendered(name: str) -> None:
    """Between Chinese characters ``**`` is easily taken for text: beside a bracket, for example."""
    left = [
        part.content
        for token in MarkdownIt("commonmark").enable("table").parse(chinese(name))
        for part in token.children or []
        if part.type == "text" and re.search(r"\*\*|[^\x00-\xff]\*|\*[^\x00-\xff]", part.content)
    ]
    assert left == []


@pytest.mark.parametrize("name", TRANSLATED)
def test_the_commits_have_the_originals(name: str) -> None:
    """A record is true: the commit that it names has the section with this hash."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    for entry in translation(name).record:
        command = ["git", "-c", "safe.directory=*", "show", f"{entry.commit}:chapters/{name}"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no such commit here: {done.stderr.strip()}")
        assert entry.digest in {section.digest for section in translations.sections(done.stdout)}


def test_each_term_is_used() -> None:
    everything = "".join(map(chinese, TRANSLATED))
    assert [term.chinese for term in terminology.terms() if term.chinese not in everything] == []


def test_terms_are_clear() -> None:
    """One word for one thing: no translation is itself rejected, or has a rejected word in it."""
    terms = terminology.terms()
    rejected = [word for term in terms for word in term.rejected if word]
    assert [x.chinese for x in terms if any(word in x.chinese for word in rejected)] == []
    assert len({x.chinese for x in terms}) == len({x.english for x in terms}) == len(terms)
    assert all(term.explanation for term in terms)


# The check itself: a small book is changed in one way, and the check says so.

ORIGINAL = """\
# A title

A namespace is
a table.

```sh
readlink /proc/self/ns/uts
```

## A section

<!-- [[[cog code("a.py", "a") ]]] -->
```python
a = 1
```
<!-- [[[end]]] -->

More words.
"""
TRANSLATION = """\
# 标题

命名空间是一张表。

```
```

## 一节

```
```

还有几句话。
"""


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """The folder of a book of one page, whose translation was accepted."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    (tmp_path / "zh").mkdir()
    (tmp_path / "page.md").write_text(ORIGINAL)
    (tmp_path / "zh/page.md").write_text(TRANSLATION)
    git(tmp_path, "init", "-q")
    commit(tmp_path)
    assert translation("page.md", tmp_path).accept() == ["# A title", "## A section"]
    assert translation("page.md", tmp_path).complaints() == []
    return tmp_path


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=reader", "-c", "user.email=reader@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True)


def commit(folder: Path) -> None:
    git(folder, "add", "page.md")
    git(folder, "commit", "-qm", "The page", "--", "page.md")


def change(book: Path, old: str, new: str, page: str = "page.md") -> list[str]:
    """What is said of the page after a change, when the code was carried."""
    text = (book / page).read_text()
    assert old in text
    (book / page).write_text(text.replace(old, new))
    found = translation("page.md", book)
    found.carry()
    complaints: list[str] = found.complaints()
    return complaints


def test_code_is_carried(book: Path) -> None:
    page = book / "zh/page.md"
    assert "```sh\nreadlink /proc/self/ns/uts\n```" in page.read_text()
    assert '<!-- [[[cog code("a.py", "a") ]]] -->\n```python\na = 1\n```\n' in page.read_text()
    assert change(book, "a = 1", "a = 2") == []
    assert "a = 2" in page.read_text()
    assert change(book, "readlink", "cat", "zh/page.md") == []
    assert "readlink" in page.read_text()
    before = page.read_text()
    translation("page.md", book).carry()
    assert page.read_text() == before


def test_changed_code_is_noticed_before_it_is_carried(book: Path) -> None:
    page = book / "page.md"
    page.write_text(page.read_text().replace("a = 1", "a = 2"))
    (found,) = translation("page.md", book).complaints()
    assert found.startswith("'## 一节': code is not the original's")


def test_changed_words_make_their_section_stale(book: Path) -> None:
    assert change(book, "is\na", "is a") == []  # not line breaks
    (found,) = change(book, "More words", "Other words")
    assert re.fullmatch(r"translate again: '## A section' \(git diff [0-9a-f]{12} -- .*\)", found)
    with pytest.raises(translations.Untranslatable, match="commit it first"):
        translation("page.md", book).accept()
    commit(book)
    assert translation("page.md", book).accept() == ["## A section"]
    assert translation("page.md", book).complaints() == []
    title, section = translation("page.md", book).record
    assert title.commit != section.commit  # the title is still what it was translated from


def test_woven_words_are_prose(book: Path) -> None:
    """What cog weaves is carried only if there is code in it."""
    words = "<!-- [[[cog exercises(1) ]]] -->\n| 1.1 | a task |\n<!-- [[[end]]] -->\n\nMore words."
    (found,) = change(book, "More words.", words)
    assert "'## A section'" in found
    change(book, "还有几句话。", "| 1.1 | 一个任务 |\n\n还有几句话。", "zh/page.md")
    commit(book)
    translation("page.md", book).accept()
    assert translation("page.md", book).complaints() == []
    (found,) = change(book, "a task", "another task")
    assert "'## A section'" in found


def test_a_moved_block_makes_its_section_stale(book: Path) -> None:
    page = (book / "page.md").read_text()
    block = page[page.index("```sh") : page.index("## A section")]
    moved = page.replace(block, "").replace("# A title\n\n", f"# A title\n\n{block}")
    (found,) = change(book, page, moved)
    assert "# A title" in found


def test_new_and_removed_sections_are_named(book: Path) -> None:
    (found,) = change(book, "## A section", "## Another\n\nNew.\n\n## A section")
    assert found == "translate again: '## Another' (it is new)"
    assert change(book, "a = 1", "a = 3") == [found]  # the others' code is carried all the same
    assert "a = 3" in (book / "zh/page.md").read_text()
    assert change(book, "## A section", "## A new name") == [
        found,
        "translate again: '## A new name' (it is new)",
        "its original is gone: '## A section'",
    ]


def test_the_form_has_to_be_the_same(book: Path) -> None:
    (found,) = change(book, "还有几句话。", "还有几句话。\n\n```\n```", "zh/page.md")
    assert found == "'## 一节' has 2 blocks of code and comments, the original 1"
    with pytest.raises(translations.Untranslatable, match="2 blocks"):
        translation("page.md", book).accept()
    assert change(book, "## 一节", "一节", "zh/page.md") == ["has other headings than its original"]


def test_missing_pages_and_records_are_noticed(book: Path) -> None:
    page = book / "zh/page.md"
    page.write_text(TRANSLATION)
    (found,) = translation("page.md", book).complaints()
    assert "--accept page.md" in found
    page.unlink()
    assert translation("page.md", book).complaints() == [
        "is not there: nobody has translated it yet"
    ]
    (book / "page.md").rename(page)
    assert translation("page.md", book).complaints() == ["its original is gone"]


def test_other_words_are_noticed(book: Path) -> None:
    assert change(book, "命名空间", "`名字空间` 命名空间", "zh/page.md") == []
    first, second = change(book, "`名字空间` 命名空间", "名字空间", "zh/page.md")
    assert "says '名字空间'" in first
    assert "has no '命名空间'" in second


def test_terms_are_found_in_any_number() -> None:
    found = [
        term.english for term in terminology.used("hierarchies, **Namespaces** and host\nnames")
    ]
    assert sorted(found) == ["hierarchy", "host name", "namespace"]
    assert terminology.used("`namespace` is code, a containership is not a c-o-ntainer") == []
    assert terminology.used("*Namespaces in operation*, in nine parts") == []


def test_the_command_line() -> None:
    command = [sys.executable, str(CHAPTERS / "translations.py"), "--accept", "no-such-page.md"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "chapters/zh has no page 'no-such-page.md'\n"

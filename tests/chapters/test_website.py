"""The book builds as a website, in both languages, and loads nothing from another host."""

import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from chapters.browser import Browser, is_here

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "chapters"))
import transcripts  # noqa: E402
import website  # noqa: E402


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("site")
    command = [sys.executable, str(ROOT / "chapters/website.py"), str(place)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr  # strict: each warning is an error
    return place


def test_every_page_is_there_in_both_languages(site: Path) -> None:
    for chapter in (ROOT / "chapters").glob("*.md"):
        name = "index" if chapter.stem == "README" else chapter.stem
        title = chapter.read_text().splitlines()[0].removeprefix("# ")
        assert title.split(" — ")[0] in (site / f"{name}.html").read_text()
        translated = ROOT / "chapters/zh" / chapter.name
        page = (site / "zh" / f"{name}.html").read_text()
        assert '<html lang="zh"' in page
        if translated.exists():
            assert translated.read_text().splitlines()[0].split(" — ")[-1].strip("# ") in page


def test_a_flaw_of_a_page_is_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text("[nowhere](gone.md)")
    (tmp_path / "mkdocs.yml").write_text("site_name: flawed")
    with pytest.raises(subprocess.CalledProcessError):
        website._mkdocs(tmp_path / "mkdocs.yml", tmp_path / "site")
    assert "gone.md" in capsys.readouterr().err


def test_the_languages_lead_to_each_other(site: Path) -> None:
    for page in ("index.html", "03-overlay2.html"):
        assert 'href="zh/index.html"' in (site / page).read_text()
        assert 'href="../index.html"' in (site / "zh" / page).read_text()


def test_it_needs_no_other_host(site: Path) -> None:
    assert list(website.foreign(site)) == []
    for tree in (site, site / "zh"):
        assert (tree / "assets/iframe-worker.js").exists()
        assert (tree / "search/search_index.js").stat().st_size > 100_000
        assert {path.name for path in (tree / "pictures").iterdir()} == {
            path.name for path in (ROOT / "chapters/pictures").iterdir()
        }


def test_nothing_but_the_book_is_published(site: Path) -> None:
    assert [path for path in site.rglob("*") if path.suffix in (".py", ".sh", ".md")] == []


@pytest.fixture
def browser(site: Path, tmp_path: Path) -> Iterator[Browser]:
    """A browser that has the site before it."""
    if not is_here():
        pytest.skip("no chromium and chromedriver")
    server = website.listen(site, 0)
    serving = threading.Thread(target=server.serve_forever, name="site")
    serving.start()
    try:
        with Browser(tmp_path, f"http://127.0.0.1:{server.server_address[1]}") as made:
            yield made
    finally:
        server.shutdown()
        server.server_close()
        serving.join()


# The page with all its tabs open, a field to paste into at its end, and a number on each block.
_PREPARE = """
document.body.append(document.createElement('textarea'), document.createElement('style'));
document.body.lastChild.textContent = '.tabbed-content > .tabbed-block { display: block }';
return [...document.querySelectorAll('.highlight')].map((block, number) => {
    block.id = 'block' + number;
    return block.querySelector('code').innerText;
})
"""


@pytest.mark.root
@pytest.mark.parametrize("page", ["00-what-is-a-container.html", "zh/02-cgroups.html"])
def test_what_is_copied_can_be_pasted(browser: Browser, page: str) -> None:
    """A reader clicks each block's button, and pastes: no prompt, and nothing that was printed."""
    browser.open(f"{browser.home}/{page}")
    clicked = 0
    for number, shown in enumerate(browser.run(_PREPARE)):
        if not shown.startswith(("# ", "$ ")):
            continue
        browser.run("document.querySelector('textarea').value = ''")
        browser.click(f"#block{number} [data-clipboard-target], #block{number} .md-code__button")
        pasted = browser.paste("textarea")
        assert pasted == typed(shown), shown
        clicked += 1
    assert clicked >= 6


@pytest.mark.root
def test_who_chose_v2_sees_v2_everywhere(browser: Browser) -> None:
    """The tabs of a page: one is open, and a click opens that of the same name in all."""
    browser.open(f"{browser.home}/02-cgroups.html")
    shown = """
        return [...document.querySelectorAll('.tabbed-block')]
            .filter(block => block.offsetHeight > 0)
            .map(block => block.innerText.includes('cgroup v2 alone'))
    """
    tabs = browser.run("return document.querySelectorAll('.tabbed-set').length")
    assert tabs >= 5
    assert browser.run(shown) == [False] * tabs
    browser.click(".tabbed-set label:last-of-type")
    assert browser.run(shown) == [True] * tabs


# Blocks whose lines all have at most a hundred columns, as the book's code has, and that are cut.
_CUT = """
return [...document.querySelectorAll('pre code')].filter(code =>
    code.offsetHeight > 0 && code.scrollWidth > code.clientWidth + 1 &&
    Math.max(...code.innerText.split('\\n').map(line => line.length)) <= 100
).map(code => code.innerText.slice(0, 200))
"""


@pytest.mark.root
def test_on_a_small_screen_no_drawing_or_listing_is_cut(browser: Browser) -> None:
    for page in ("00-what-is-a-container", "01-namespaces", "04-network", "05-cli"):
        browser.open(f"{browser.home}/{page}.html")
        assert browser.run(_CUT) == [], page


@pytest.mark.root
def test_no_han_character_is_slanted(browser: Browser) -> None:
    browser.open(f"{browser.home}/zh/00-what-is-a-container.html")
    styles = browser.run(
        "return [...document.querySelectorAll('article em, article i, article cite')]"
        ".map(it => getComputedStyle(it).fontStyle)"
    )
    assert len(styles) > 5
    assert set(styles) == {"normal"}


def typed(shown: str) -> str:
    """Told in other words than the website's: the lines of a block that have a prompt."""
    kept, going = [], False
    for line in shown.splitlines():
        going = line[:2] in ("# ", "$ ") or (going and line.startswith("> "))
        if going:
            kept.append(line[2:])
    return "\n".join(kept)


def test_every_transcript_of_every_page_has_its_commands(site: Path) -> None:
    for chapter in (ROOT / "chapters").glob("*.md"):
        for place in (site, site / "zh"):
            page = place / f"{chapter.stem}.html"
            if chapter.stem == "README":
                continue
            copied = re.findall(r'data-copy="([^"]*)"', page.read_text())
            wanted = [
                "\n".join(command.text for command in block.commands)
                for block in transcripts.blocks(chapter)
            ]
            assert [unescape(text) for text in copied if unescape(text) in wanted] == wanted


def test_another_host_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(
        '<a href="https://example.org/">a link to follow</a> <img src="pictures/own.svg">'
        '<script src="https://example.org/a.js"></script><link href=//example.org/b.css>'
    )
    (tmp_path / "page.css").write_text("@import 'https://example.org/c.css'; a { b: url(d.png) }")
    assert len(list(website.foreign(tmp_path))) == 3


@pytest.mark.parametrize("arguments", [["--nonsense"], ["one", "two"]], ids=" ".join)
def test_nonsense_is_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert website.main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert website.main(arguments) == 125
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("mydocker: ")
    return line


def test_a_place_that_cannot_be_written_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is built: a folder of /proc, and a checkout that is for reading only."""
    assert "Name a directory" in refused(["/proc/x"], capsys)
    assert "Name a directory" in refused(["/sys/kernel"], capsys)
    assert "Name a directory" in refused([__file__], capsys)


def test_a_port_that_cannot_be_had_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "99999" in refused(["--serve", "99999", str(tmp_path)], capsys)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert "in use" in refused(["--serve", port, str(tmp_path)], capsys)
    assert list(tmp_path.iterdir()) == []

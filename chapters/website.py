"""The book as a website: MkDocs, once for each language, into one directory.

``mkdocs.yml`` is the English site. The Chinese one inherits all of it and lies below, in ``zh/``;
its pages are taken from ``chapters/zh``, and those that nobody has translated yet from the English
book. No page needs anything from another host: :func:`foreign` finds what would.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from html import escape, unescape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig

sys.path.insert(0, str(Path(__file__).resolve().parent))
from transcripts import commands

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = ROOT / "chapters"
_CHINESE = """\
INHERIT: {root}/mkdocs.yml
site_name: mydocker
docs_dir: {pages}
site_dir: {site}
theme: {{language: zh}}
hooks: [{root}/chapters/website.py]
plugins:
  search: {{lang: [en, zh], separator: '{separator}'}}
  offline: {{}}
extra:
  alternate:
    - {{name: English, link: ../index.html, lang: en}}
    - {{name: 简体中文, link: ./index.html, lang: zh}}
"""
# Between any two Chinese characters, as nothing else shows where a word ends; and at punctuation.
_SEPARATOR = r"[\s\-\u3000-\u303f\uff00-\uff0f]+|(?<=[\u4e00-\u9fff])(?=[\u4e00-\u9fff])"
_NOT_YET = "\n\n*这一页还没有译成中文。*\n"


def build(site: Path) -> None:
    """Build both languages into ``site``. Raises CalledProcessError if a page has a flaw."""
    _mkdocs(ROOT / "mkdocs.yml", site)
    with tempfile.TemporaryDirectory(prefix="mydocker-site-") as place:
        pages, configuration = Path(place, "pages"), Path(place, "mkdocs.yml")
        gather_chinese(pages)
        configuration.write_text(
            _CHINESE.format(root=ROOT, pages=pages, site=site / "zh", separator=_SEPARATOR)
        )
        _mkdocs(configuration, site / "zh")


_MENU = {
    "en": ("The chapters", "Appendices", "For teachers"),
    "zh": ("各章", "附录", "教师与译者"),
}


def on_config(config: "MkDocsConfig") -> None:
    """MkDocs calls this first: the menu, which mkdocs.yml has in the book's order, gets groups."""
    pages = [page for page in config.nav or [] if page != "README.md"]
    appendices = [page for page in pages if page.startswith("appendix-")]
    first, last = pages.index(appendices[0]), pages.index(appendices[-1])
    groups = (pages[:first], appendices, pages[last + 1 :])
    titles = _MENU[config.theme["language"]]
    config.nav = [
        "README.md",
        *({title: group} for title, group in zip(titles, groups, strict=True)),
    ]


def on_page_markdown(markdown: str, **_: object) -> str:
    """MkDocs calls this for each page: the other language is another site, which it cannot see."""
    return _across(markdown, "zh/README.md", "zh/index.html")


def on_page_content(html: str, **_: object) -> str:
    """MkDocs calls this, too: what the copy button of a transcript copies can be pasted, the line
    above one that says where it can be run has a style of its own, and what is for different
    machines is in tabs."""
    html = _TRANSCRIPT.sub(_to_paste, _WHERE.sub(r'<p class="where">\1', html))
    numbers = count(1)
    return _TABS.sub(lambda found: _tabbed(found[0], next(numbers)), html)


# <!-- tab: cgroup v1 --> … <!-- tab: cgroup v2 --> … <!-- end of tabs -->
_TABS = re.compile(r"<!-- tab: (?:(?!<!-- end of tabs -->).)*<!-- end of tabs -->", re.S)
_TAB = re.compile(r"<!-- tab: (.*?) -->(.*?)(?=<!-- tab: |<!-- end of tabs -->)", re.S)


def _tabbed(region: str, number: int) -> str:
    """The tabs of one region, as Material's own extension makes them: the first one is open.

    In the Markdown they stand one below the other, where they are read as well as anything else.
    """
    tabs = list(enumerate(_TAB.findall(region), 1))
    name = f"__tabbed_{number}"
    doors = "".join(
        f'<input {"checked " if n == 1 else ""}id="{name}_{n}" name="{name}" type="radio">'
        for n, _ in tabs
    )
    labels = "".join(f'<label for="{name}_{n}">{label}</label>' for n, (label, _) in tabs)
    bodies = "".join(f'<div class="tabbed-block">{body}</div>' for _, (_, body) in tabs)
    return (
        f'<div class="tabbed-set tabbed-alternate" data-tabs="{number}:{len(tabs)}">{doors}'
        f'<div class="tabbed-labels">{labels}</div><div class="tabbed-content">{bodies}</div></div>'
    )


_WHERE = re.compile(r"<p>(<em>(?:(?!</?em>|</p>).)*</em></p>)", re.S)


_TRANSCRIPT = re.compile(r'<div class="highlight">(<pre>.*?<code>(.*?)</code></pre>)</div>', re.S)


def _to_paste(block: re.Match[str]) -> str:
    """The block, with what is typed in it as ``data-copy``: that is what the theme copies then."""
    shown = unescape(re.sub(r"<[^>]+>", "", block[2]))
    typed = "\n".join(command.text for command in commands(shown.splitlines()))
    if not typed:
        return block[0]  # a drawing, or what a program prints
    return block[0].replace("<div ", f'<div data-copy="{escape(typed)}" ', 1)


def _across(markdown: str, page: str, address: str) -> str:
    return re.sub(rf"\[([^]]+)\]\({re.escape(page)}\)", rf'<a href="{address}">\1</a>', markdown)


def gather_chinese(pages: Path) -> None:
    """Lay out the Chinese book as the English one lies: its links between pages then hold."""
    for folder in ("pictures", "assets"):
        shutil.copytree(CHAPTERS / folder, pages / folder)
    for original in sorted(CHAPTERS.glob("*.md")):
        translated = CHAPTERS / "zh" / original.name
        if translated.exists():
            text = _across(translated.read_text(), "../README.md", "../index.html")
            text = text.replace("](../", "](")
        elif original.name == "terminology.md":  # one page for both
            text = original.read_text()
        else:
            title, _, rest = original.read_text().partition("\n")
            text = title + _NOT_YET + rest
        (pages / original.name).write_text(text)


def _mkdocs(configuration: Path, site: Path) -> None:
    # Not --quiet: what is not printed is not counted, and --strict lets every page pass.
    command = ["mkdocs", "build", "--strict", "-f", str(configuration), "-d", str(site)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", *command]
    done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.stderr.write(done.stderr)
        done.check_returncode()


def foreign(site: Path) -> Iterator[str]:
    """What the pages would load from other hosts, if anything: links to follow do not count."""
    loads = re.compile(
        r"""<(?:script|img|iframe|source|video)\b[^>]*\bsrc=["']?((?:https?:)?//[^"'\s>]+)"""
        r"""|<link\b(?![^>]*rel=["']?canonical)[^>]*\bhref=["']?((?:https?:)?//[^"'\s>]+)"""
        r"""|url\(["']?((?:https?:)?//[^"')]+)|@import\s+["']((?:https?:)?//[^"']+)"""
    )
    for path in sorted(site.rglob("*")):
        if path.suffix in (".html", ".css", ".svg"):
            for match in loads.finditer(path.read_text()):
                yield f"{path.relative_to(site)}: {match[0][:100]}"


def listen(site: Path, port: int) -> ThreadingHTTPServer:
    """A server of the site for this machine's browsers. Raises OSError."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(site))
    return ThreadingHTTPServer(("127.0.0.1", port), handler)


def _complain(message: str) -> int:
    print(f"mydocker: {message}", file=sys.stderr)
    return 125


def main(arguments: list[str]) -> int:
    """``[--serve [PORT]] [DIRECTORY]``; the exit code."""
    port = 0
    server = None
    if arguments[:1] == ["--serve"]:
        arguments = arguments[1:]
        port = int(arguments.pop(0)) if arguments and arguments[0].isdigit() else 8000
    if len(arguments) > 1 or any(argument.startswith("-") for argument in arguments):
        print("usage: ./mydocker site [--serve [PORT]] [DIRECTORY]", file=sys.stderr)
        return 2
    if port > 65535:
        return _complain(f"--serve {port}: a port is a number up to 65535")
    site = Path(arguments[0]).absolute() if arguments else ROOT / "site"
    try:
        site.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=site):
            pass
    except OSError as error:
        elsewhere = "Name a directory that you may write to: ./mydocker site DIRECTORY"
        return _complain(f"{site}: {error.strerror}. {elsewhere}")
    try:
        server = listen(site, port) if port else None  # before the work: the port may be taken
        build(site)
        print(f"the book: {site}/index.html", flush=True)
        if server:
            print(f"the book is at http://127.0.0.1:{port}/ (Ctrl-C ends)", flush=True)
            server.serve_forever()
    except subprocess.CalledProcessError as error:
        return int(error.returncode)
    except OSError as error:
        return _complain(f"--serve {port}: {error.strerror}. Name another: --serve PORT")
    except KeyboardInterrupt:
        print()
        return 0 if server else 130
    finally:
        if server:
            server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

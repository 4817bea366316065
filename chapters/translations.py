"""The Chinese edition: which of its sections are older than their English originals?

A page of ``chapters/zh`` is a translation of the page of the same name in ``chapters``, heading by
heading. A comment below its title records, for each section, the commit and the hash of the English
prose that it was translated from. If the English changes, the hash differs, and the sections to
translate again are listed; line breaks do not count.

Code is never translated: fenced blocks, woven in by cog or not, and comments are *carried* from the
original to the same place in the translation, so they cannot differ, and in a page that is being
written an empty block is enough. (What cog writes above a folded block is carried as the words of
:data:`_CARRIED_WORDS`.) Words that cog weaves, a list of exercises for example, are prose
like all other: a change of their source makes the section stale.

::

    python3 chapters/translations.py                         carry the code, list what is stale
    python3 chapters/translations.py --accept 02-cgroups.md  its prose is up to date again
"""

import argparse
import hashlib
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from book import OURS
from terminology import misused

CHAPTERS = Path(__file__).resolve().parent
BOTH_LANGUAGES = {"terminology.md"}  # pages that have no translation

_HEADING = re.compile(r"#{1,6} ")
_FENCE = re.compile(r"\s*(```+|~~~+)")
_HEAD = "<!-- translation: commit and hash of each English section; see chapters/translations.py"
_RECORD = re.compile(re.escape(_HEAD) + r"\n(.*?)\n-->\n+", re.DOTALL)
_CARRIED_WORDS = {OURS: "等你自己写完再看本书的写法。练习"}
_HERE = "\0"  # in a section's text: here stands a piece that is carried


class Untranslatable(Exception):
    """What the command line tells in one line: a page that cannot be accepted, or is not there."""


@dataclass(frozen=True)
class Section:
    """A heading and what follows it: lines of prose and, between them, pieces that are carried."""

    heading: str
    lines: tuple[str, ...]  # _HERE where a piece is
    pieces: tuple[str, ...]

    @property
    def level(self) -> int:
        return self.heading.find(" ")

    @property
    def digest(self) -> str:
        """Of the words only, and of the places of the pieces between them."""
        words = " ".join([self.heading, *self.lines]).split()
        return hashlib.sha256(" ".join(words).encode()).hexdigest()[:12]

    @property
    def prose(self) -> str:
        return "\n".join([self.heading, *(line for line in self.lines if line != _HERE)])

    def text(self, pieces: tuple[str, ...]) -> str:
        """The section with other pieces: as many as it has."""
        left = iter(pieces)
        return "\n".join([self.heading, *(next(left) if x == _HERE else x for x in self.lines)])


def sections(text: str) -> list[Section]:
    """Cut a page at its headings."""
    found: list[Section] = []
    heading, lines, pieces = "", [], []  # type: str, list[str], list[str]
    for line in _pieces_apart(text.split("\n")):
        if _HEADING.match(line):
            if heading or any(lines):
                found.append(Section(heading, tuple(lines), tuple(pieces)))
            heading, lines, pieces = line, [], []
        elif "\n" in line or line.startswith("<!--"):
            lines.append(_HERE)
            pieces.append(line)
        else:
            lines.append(line)
    return [*found, Section(heading, tuple(lines), tuple(pieces))]


def _pieces_apart(lines: list[str]) -> Iterator[str]:
    """The lines of a page, but those of a piece as one."""
    rest = iter(lines)
    for line in rest:
        if "[[[cog" in line:
            yield from _woven(_until("[[[end]]]", line, rest))
        elif line.startswith("<!--") and "-->" not in line:
            yield _until("-->", line, rest)
        elif fence := _FENCE.match(line):
            yield _until(fence[1], line, rest)
        else:
            yield line


def _woven(region: str) -> list[str]:
    """A region of cog's is carried if there is code in it; words that it weaves are translated."""
    if "```" in region:
        return [region]
    return region.partition("]]] -->\n")[2].split("\n")[:-1]


def _until(end: str, first: str, rest: Iterator[str]) -> str:
    piece = [first]
    for line in rest:
        piece.append(line)
        if end in line and (end[0] not in "`~" or line.strip() == end):
            break
    return "\n".join(piece)


@dataclass(frozen=True)
class Recorded:
    """What one section was translated from."""

    commit: str
    digest: str
    heading: str


@dataclass(frozen=True)
class Translation:
    """A translated page and its original."""

    name: str
    original: Path
    page: Path

    @property
    def english(self) -> list[Section]:
        return sections(self.original.read_text())

    @property
    def carried(self) -> list[Section]:
        """The original's sections, with their code as it stands in a translation."""
        return [
            replace(section, pieces=tuple(_in_chinese(piece) for piece in section.pieces))
            for section in self.english
        ]

    @property
    def chinese(self) -> list[Section]:
        return sections(_RECORD.sub("", self.page.read_text()))

    @property
    def record(self) -> list[Recorded]:
        """Raises Untranslatable if there is none."""
        match = _RECORD.search(self.page.read_text())
        if match is None:
            raise Untranslatable(
                f"{self.page}: has no record of its original: --accept {self.name}"
            )
        return [Recorded(*line.split(" ", 2)) for line in match[1].splitlines()]

    def _pairs(self) -> list[tuple[Section, Section | None]]:
        """Each section of the translation with its original: by place if both pages have the same
        headings, else by the heading that the record has at that place."""
        english, chinese = self.carried, self.chinese
        if [x.level for x in english] == [x.level for x in chinese]:
            return list(zip(chinese, english, strict=True))
        try:
            headings = [entry.heading for entry in self.record]
        except Untranslatable:
            headings = []
        if len(headings) != len(chinese):
            return [(section, None) for section in chinese]
        originals = {section.heading: section for section in english}
        return [(x, originals.get(name)) for x, name in zip(chinese, headings, strict=True)]

    def complaints(self) -> list[str]:
        """What is to be done until the page is a translation of its original, a line each."""
        if not self.original.exists():
            return ["its original is gone"]
        if not self.page.exists():
            return ["is not there: nobody has translated it yet"]
        try:
            record = self.record
        except Untranslatable as missing:
            return [str(missing)]
        known = {entry.digest for entry in record}
        commits = {entry.heading: entry.commit for entry in record}
        found = []
        for section in self.english:
            commit = commits.pop(section.heading, None)
            if section.digest not in known:
                since = f"git diff {commit} -- chapters/{self.name}" if commit else "it is new"
                found.append(f"translate again: {section.heading!r} ({since})")
        found += [f"its original is gone: {heading!r}" for heading in commits]
        return (
            found or self._misplaced() or list(misused(_prose(self.english), _prose(self.chinese)))
        )

    def _misplaced(self) -> list[str]:
        english, chinese = self.carried, self.chinese
        if [x.level for x in english] != [x.level for x in chinese]:
            return ["has other headings than its original"]
        return [
            f"{ours.heading!r} has {len(ours.pieces)} blocks of code and comments, "
            f"the original {len(theirs.pieces)}"
            if len(ours.pieces) != len(theirs.pieces)
            else f"{ours.heading!r}: code is not the original's: python3 chapters/translations.py"
            for ours, theirs in zip(chinese, english, strict=True)
            if ours.pieces != theirs.pieces
        ]

    def carry(self) -> None:
        """Bring the original's code into the translation, where both have as many pieces."""
        text = self.page.read_text()
        head = _RECORD.search(text)
        written = [
            ours.text(theirs.pieces if theirs and _fits(ours, theirs) else ours.pieces)
            for ours, theirs in self._pairs()
        ]
        if head is not None:
            written[0] = written[0].replace("\n", f"\n\n{head[0].rstrip()}\n", 1)
        new = "\n".join(written)
        if new != text:
            self.page.write_text(new)

    def accept(self) -> list[str]:
        """Record that the page says what its original says; the headings that were stale.

        Raises Untranslatable if the original is not committed, or the two differ in their form.
        """
        self.carry()
        if misplaced := self._misplaced():
            raise Untranslatable(f"{self.page}: {misplaced[0]}")
        folder = self.original.parent
        committed = sections(_git(folder, "show", f"HEAD:./{self.name}"))
        if not {x.digest for x in self.english} <= {x.digest for x in committed}:
            raise Untranslatable(f"{self.original}: commit it first: the record names the commit")
        commit = _git(folder, "log", "-1", "--format=%h", "--abbrev=12", "--", self.name).strip()
        try:
            before = {entry.digest: entry for entry in self.record}
        except Untranslatable:
            before = {}
        record = [
            before.get(section.digest) or Recorded(commit, section.digest, section.heading)
            for section in self.english
        ]
        lines = "\n".join(f"{x.commit} {x.digest} {x.heading}" for x in record)
        title, _, rest = _RECORD.sub("", self.page.read_text()).partition("\n")
        self.page.write_text(f"{title}\n\n{_HEAD}\n{lines}\n-->\n\n{rest.lstrip()}")
        return [entry.heading for entry in record if entry.digest not in before]


def _in_chinese(piece: str) -> str:
    for english, chinese in _CARRIED_WORDS.items():
        piece = piece.replace(english, chinese)
    return piece


def _prose(page: list[Section]) -> str:
    return "\n".join(section.prose for section in page)


def _fits(ours: Section, theirs: Section) -> bool:
    return len(ours.pieces) == len(theirs.pieces)


def translations(chapters: Path = CHAPTERS) -> list[Translation]:
    """Every page of the book that has to have a translation, or has one."""
    names = {path.name for path in chapters.glob("*.md")} - BOTH_LANGUAGES
    names |= {path.name for path in chapters.glob("zh/*.md")}
    return [Translation(name, chapters / name, chapters / "zh" / name) for name in sorted(names)]


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Untranslatable(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def report() -> list[str]:
    """Carry the code into all translations; what is left to be done by a translator."""
    found = []
    for translation in translations():
        if translation.page.exists():
            translation.carry()
        found += [f"zh/{translation.name}: {line}" for line in translation.complaints()]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="List the stale sections of the Chinese edition.")
    parser.add_argument("--accept", metavar="PAGE", nargs="+", default=[], help="is up to date")
    accepted = parser.parse_args().accept
    known = {translation.name: translation for translation in translations()}
    refused = False
    for name in accepted:
        try:
            if name not in known or not known[name].page.exists():
                raise Untranslatable(f"chapters/zh has no page {name!r}")
            for heading in known[name].accept():
                print(f"zh/{name}: accepted: {heading}")
        except Untranslatable as failure:
            print(failure, file=sys.stderr)
            refused = True
    if refused:
        return 1
    found = report()
    print("\n".join(found) or "the Chinese edition is up to date")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

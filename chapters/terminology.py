"""The book's words in both languages, read from the table in ``terminology.md``."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).resolve().parent / "terminology.md"
_NONE = "—"  # a cell with no rejected word


@dataclass(frozen=True)
class Term:
    """One row: the word in English and Chinese, and what it must not be called in Chinese."""

    english: str
    chinese: str
    rejected: tuple[str, ...]
    explanation: str

    @property
    def pattern(self) -> str:
        """The English word as it stands in a sentence, in singular or plural.

        A remark in brackets says that a word has other meanings, too: it is not looked for.
        """
        if self.english.endswith(")"):
            return "(?!)"
        many = re.escape(self.english.removesuffix("y")) + "ies"
        return rf"\b(?:{re.escape(self.english)}(?:e?s)?|{many})\b"


def terms(table: Path = TABLE) -> list[Term]:
    """The rows of the table."""
    rows = [line for line in table.read_text().splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[1:]]
    return [
        Term(english, chinese, tuple(rejected.replace(_NONE, "").split("、")), explanation)
        for english, chinese, rejected, explanation in cells
    ]


def misused(english: str, chinese: str) -> Iterator[str]:
    """What a page's Chinese says in other words than the table, a line each."""
    chinese = _without_code(chinese)
    for term in terms():
        for word in filter(None, term.rejected):
            if word in chinese:
                yield f"says {word!r}: {term.english!r} is called {term.chinese!r} here"
    for term in used(english):
        if term.chinese not in chinese:
            yield f"has no {term.chinese!r}, and its original speaks of {term.english!r}"


def used(english: str) -> list[Term]:
    """The terms that an English text uses; in "host name" there is no "host"."""
    left = " ".join(_without_code(english).split())
    left = re.sub(r"(?<!\*)\*[A-Z][^*]+\*", "·", left)  # *A Title*, which is not translated
    found = []
    for term in sorted(terms(), key=lambda term: -len(term.english)):
        left, count = re.subn(term.pattern, "·", left, flags=re.I)
        if count:
            found.append(term)
    return found


def _without_code(text: str) -> str:
    return re.sub(r"(`+)[^`].*?\1", " ", text, flags=re.S)

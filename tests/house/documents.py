"""What the documents of the repository's root mention: code, files, links, commands."""

import re

from house.programs import ROOT


def code(text: str) -> list[str]:
    """What stands in `backquotes`, outside of blocks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S))


def blocks(text: str, language: str = "sh") -> list[str]:
    """The lines of the fenced blocks of a language, without comments."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)
    lines = (line.partition(" #")[0].rstrip() for block in found for line in block.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def links(text: str) -> list[str]:
    """The files that links lead to."""
    return [link for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text) if "://" not in link]


def exists(name: str) -> bool:
    """Is there a file, or a folder if it ends in a slash? Seen from the root of the repository."""
    path = ROOT / name
    return path.is_dir() if name.endswith("/") else path.exists()

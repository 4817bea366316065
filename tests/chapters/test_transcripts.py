"""What the chapters show of a shell is what a shell shows: every transcript is typed again."""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox.machine import Sandbox

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "chapters"))
import transcripts  # noqa: E402

CHAPTERS = sorted((ROOT / "chapters").glob("*.md"))
SECTIONS = [
    (chapter.name, section) for chapter in CHAPTERS for section in transcripts.sessions(chapter)
]
RENEW = "to write down what is printed now: python3 chapters/book.py --transcripts"


@pytest.fixture(scope="module")
def machine(sandbox: Sandbox) -> Iterator[transcripts.Machine]:
    made = transcripts.Machine(sandbox.steps, sandbox.directory / "book")
    yield made
    made.close()


def compared(blocks: list[transcripts.Block], machine: transcripts.Machine) -> None:
    drifts, left = transcripts.compare(blocks, machine)
    assert drifts == [], "\n".join(map(str, [*drifts, RENEW]))
    assert left == set(), "made by hand, and not removed in the same section"


@pytest.mark.root
@pytest.mark.parametrize(("chapter", "section"), SECTIONS, ids=str)
def test_a_section(chapter: str, section: str, machine: transcripts.Machine) -> None:
    compared(transcripts.sessions(ROOT / "chapters" / chapter)[section], machine)


@pytest.mark.root
@pytest.mark.skipif(not transcripts.has_docker(), reason="Docker is not installed")
def test_beside_docker(machine: transcripts.Machine) -> None:
    compared(transcripts.docker_session(CHAPTERS), machine)


def test_hardly_any_is_not_run() -> None:
    """Each that the tests cannot run says why; here they are counted."""
    every = [block for chapter in CHAPTERS for block in transcripts.blocks(chapter)]
    counted = Counter(block.reason for block in every if block.reason)
    assert counted == NOT_RUN
    assert len(every) > 10 * sum(counted.values())


NOT_RUN = {
    "it needs a filesystem mounted with `prjquota`": 1,
    "it needs a loop device, and Debian's package `quota`": 1,
}


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.name)
def test_no_shell_block_is_only_told(chapter: Path) -> None:
    """A block of another language with commands in it would not be run by anybody."""
    assert "```sh\n" not in chapter.read_text()


BY_NAME = re.compile(
    r"\$\((?:pgrep (?!-P \$)|pidof|ps\b[^)]* -C)"  # the number of whoever has that name
    r"|\b(?:pkill|killall|killall5)\b|kill (?:-\S+ )?-1\b"
    r"|\bnft flush ruleset|\biptables -F|\bumount -a|\$\(\S*docker (?:ps|images|volume ls) -"
)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.name)
def test_no_transcript_hits_a_bystander(chapter: Path) -> None:
    """In the private machine nobody else is called ``sleep``. On the reader's there may be others,
    so what is killed or entered is found by its number: ``$!``, its parent's, or inspect's."""
    commands = [one for block in transcripts.blocks(chapter) for one in block.commands]
    assert [one.text for one in commands if BY_NAME.search(one.text)] == []


def test_a_bystander_that_is_hit_is_noticed() -> None:
    for text in (
        "kill -9 $(pgrep -x sleep)",
        "PID=$(pgrep -x httpd)",
        "kill $(ps -o ppid= -C sleep)",
        "nft flush ruleset",
        "kill -9 -1",
    ):
        assert BY_NAME.search(text), text
    assert not BY_NAME.search("until PID=$(pgrep -P $! -x sleep); do sleep 0.1; done; kill $PID")


@pytest.mark.root
def test_drift_is_noticed(tmp_path: Path, machine: transcripts.Machine) -> None:
    chapter = tmp_path / "drifted.md"
    text = "```console\n# echo one; echo two\none\ntwo\n$ id -u\n1000\n```\n"
    chapter.write_text(text)
    compared(transcripts.blocks(chapter), machine)
    chapter.write_text(text.replace("two\n$", "three\n$"))
    (drift,), _ = transcripts.compare(transcripts.blocks(chapter), machine)
    assert drift.printed == ["one", "two"]
    transcripts.rewrite([drift])
    assert chapter.read_text() == text


@pytest.mark.parametrize(
    ("said", "printed", "equal"),
    [
        (["a  b"], ["a b"], True),
        (["a b"], ["a", "b"], False),
        (["one…three"], ["one two three"], True),
        (["one", "…", "three"], ["one", "two", "2", "three"], True),
        (["one", "…"], ["two"], False),
        ([], ["unexpected"], False),
        (["uts:[4026531838]"], ["uts:[4026532211]"], True),
        (["uts:[4026531838]"], ["pid:[4026531838]"], False),
        (["4f1de0a7c0de"], ["0123456789ab"], True),
        (["4f1de0a7c0de"], ["0123456789"], False),
        (["took 3.2 s"], ["took 17 ms"], True),
        (["exit 137"], ["exit 1"], False),
    ],
)
def test_what_counts_as_the_same(said: list[str], printed: list[str], equal: bool) -> None:
    assert transcripts.same(said, printed) is equal


def test_a_mask_of_a_block(tmp_path: Path) -> None:
    chapter = tmp_path / "masked.md"
    chapter.write_text("<!-- mask: \\d+ tasks -->\n```console\n# x\n12 tasks\n```\n")
    (block,) = transcripts.blocks(chapter)
    assert transcripts.same(block.commands[0].output, ["9 tasks"], block.masks)
    assert not transcripts.same(block.commands[0].output, ["9 tasks"])


def test_a_mark_must_be_known(tmp_path: Path) -> None:
    chapter = tmp_path / "marked.md"
    chapter.write_text("*Not run by the tests: it is\nlong.*\n\n```console\n# x\n```\n")
    (block,) = transcripts.blocks(chapter)
    assert (block.reason, transcripts.runnable(block)) == ("it is long", False)
    chapter.write_text("*Run by the tests at full moon.*\n\n```console\n# x\n```\n")
    with pytest.raises(ValueError, match="full moon"):
        transcripts.blocks(chapter)

"""Transcripts: what a chapter shows of a shell is typed again and compared.

A transcript is a fenced block of the language ``console``. Lines that begin with ``# `` are typed
by root, those with ``$ `` by an ordinary user, ``> `` continues the line above, and all others are
what is printed, exit codes being of no interest::

    ```console
    # python3 steps/01-namespaces/main.py run --hostname box hostname
    box
    ```

The blocks of one section (from one ``## `` to the next) are one shell: variables, directories and
processes in the background stay. Each section has a private machine (``machine.sh``), which ends
with it. A line above a block says, to readers too, when it cannot be run everywhere::

    *Not run by the tests: it needs a terminal.*
    *Run by the tests where Docker is installed.*

What is printed is compared with what stands in the chapter, after

- what differs from run to run is masked in both (:data:`MASKS`): ids, inodes, times, addresses of
  cards, pids after the word; and what ``<!-- mask: REGULAR EXPRESSION -->`` above a block says;
- runs of spaces became one, as columns move with what is in them;
- and ``…`` in the chapter stands for anything within a line, alone in a line for any lines.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Seconds that one section may take; where the processor is emulated, so many times more.
PATIENCE = 180 * float(os.environ.get("MYDOCKER_TEST_PATIENCE", "1"))

MASKS = [
    (r"\b[0-9a-f]{64}\b|\b(?=[a-f]*[0-9])[0-9a-f]{12}\b", "ID"),
    (r"\bsha256:[0-9a-f]+", "DIGEST"),
    (r"\b402653\d{4}\b", "INODE"),
    (r"\bveth[0-9a-f]+", "VETH"),
    (r"\b[A-Z2-7]{26}\b", "SHORT"),
    (r"\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b", "CARD"),
    (r"\bfe80::[0-9a-f:]+", "LOCAL"),
    (r"\b\d{4}-\d\d-\d\d([T ]\d\d:\d\d:\d\d(\.\d+)?( [+-]\d{4})?Z?)?", "TIME"),
    (r"\b[A-Z][a-z]{2} +\d{1,2} \d\d:\d\d(:\d\d)?\b", "TIME"),
    (r"\b\d\d:\d\d(:\d\d)?(\.\d+)?\b", "TIME"),
    (r"[\d.]+/[\d.]+/[\d.]+ ms", "TIME"),
    (r"(Less than|About) an? (second|minute)( ago)?", "TIME"),
    (r"\b(\d+(\.\d+)?|a|an) ?(ms|s|seconds?|minutes?)( ago)?\b", "TIME"),
    (r"(?i)\b(pid:?|pidfd of) +(\d+|…)", "pid N"),
    (r"/proc/(\d+|…)/", "/proc/N/"),
    (r"@if\d+", "@ifN"),
    (r"\bnetns \d+", "netns N"),
    (r"(clone3\(.*\)|fork\(\)) = \d+", r"\1 = N"),
    (r"(open_tree|fsmount|fsopen)\((.*)\) = \d+", r"\1(\2) = N"),
    (r"[ \t]+", " "),
    (r" +\n", "\n"),
]


def has_docker() -> bool:
    """Whether a dockerd can be started here."""
    return os.geteuid() == 0 and all(
        shutil.which(name, path=DOCKER_PATH)
        for name in ("dockerd", "containerd", "docker", "iptables", "curl")
    )


def pure_v2() -> bool:
    """Whether this machine has the one tree of v2 and no hierarchies of v1."""
    return os.path.exists("/sys/fs/cgroup/cgroup.controllers")


DOCKER_PATH = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"
DOCKER = "where Docker is installed"
CONDITIONS: dict[str, Callable[[], bool]] = {
    DOCKER: has_docker,
    "on machines with cgroup v1": lambda: not pure_v2(),
    "on machines with cgroup v2 alone": pure_v2,
}
_MARK = re.compile(r"\*(Not run by the tests: (?P<reason>.+)|Run by the tests (?P<where>.+))\.\*$")
_MASK = re.compile(r"<!-- mask: (.+?) -->$")


@dataclass
class Command:
    """One command of a transcript, and what the chapter says that it prints."""

    line: int  # of the file, from 0: where its output begins
    root: bool
    text: str
    output: list[str]


@dataclass
class Block:
    """One transcript."""

    chapter: Path
    line: int  # of the file, from 0: its first line after the fence
    section: str
    commands: list[Command]
    masks: list[str]
    reason: str = ""  # why it is not run, if it is not
    where: list[str] = field(default_factory=list)  # where it is run, if not everywhere

    @property
    def name(self) -> str:
        return f"{self.chapter.name}:{self.line + 1}"


@dataclass
class Drift:
    """A command that printed something else than the chapter says."""

    block: Block
    command: Command
    printed: list[str]

    def __str__(self) -> str:
        said = "\n".join(f"  - {line}" for line in self.command.output)
        printed = "\n".join(f"  + {line}" for line in self.printed)
        place = f"{self.block.chapter.name}:{self.command.line + 1}"
        return f"{place}: {self.command.text}\n{said}\n{printed}"


def blocks(chapter: Path) -> list[Block]:
    """The transcripts of a chapter. Raises ValueError for a mark that nobody knows."""
    found: list[Block] = []
    section, fenced = "", False
    lines = chapter.read_text().splitlines()
    for number, line in enumerate(lines):
        if line.startswith("```"):
            fenced = not fenced
            if line == "```console":
                found.append(_block(chapter, lines, number + 1, section))
        elif line.startswith("## ") and not fenced:
            section = line[3:].strip()
    return found


def _block(chapter: Path, lines: list[str], first: int, section: str) -> Block:
    block = Block(chapter, first, section, [], [])
    _read_marks(block, lines[: first - 1])
    last = next(n for n in range(first, len(lines)) if lines[n].startswith("```"))
    block.commands = commands(lines[first:last], first)
    if not block.commands and first < last:
        raise ValueError(f"{block.name}: a transcript begins with a prompt, not {lines[first]!r}")
    return block


def commands(lines: list[str], first: int = 0) -> list[Command]:
    """What is typed in a block, and printed: nothing if the block does not begin with a prompt."""
    found: list[Command] = []
    for number, line in enumerate(lines, first):
        if line[:2] in ("# ", "$ "):
            found.append(Command(number + 1, line[0] == "#", line[2:], []))
        elif line.startswith("> ") and found and not found[-1].output:
            found[-1].text += "\n" + line[2:]
            found[-1].line = number + 1
        elif found:
            found[-1].output.append(line)
        else:
            break
    return found


def _read_marks(block: Block, above: list[str]) -> None:
    """The paragraphs right above a block that are marks; one may go over several lines."""
    paragraphs = [part.replace("\n", " ") for part in "\n".join(above).split("\n\n")]
    for paragraph in reversed([part.strip() for part in paragraphs if part.strip()]):
        mask, mark = _MASK.match(paragraph), _MARK.match(paragraph)
        if mask:
            block.masks.append(mask[1])
        elif mark:
            block.reason = mark["reason"] or ""
            block.where = mark["where"].split(", ") if mark["where"] else []
        else:
            break
    for where in block.where:
        if where not in CONDITIONS:
            raise ValueError(f"{block.name}: nobody knows when to run: {where!r}")


def runnable(block: Block) -> bool:
    """Whether this machine can run it."""
    return not block.reason and all(CONDITIONS[where]() for where in block.where)


def masked(text: str, masks: Iterable[str]) -> str:
    """``text`` without what differs from run to run."""
    for pattern in masks:
        text = re.sub(pattern, "MASKED", text, flags=re.M)
    for pattern, name in MASKS:
        text = re.sub(pattern, name, text)
    return text


def same(said: list[str], printed: list[str], masks: Iterable[str] = ()) -> bool:
    """Whether what a chapter says is what was printed."""
    pattern = ""
    for line in masked("".join(f"{line}\n" for line in said), masks).splitlines():
        if line.strip() == "…":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*?".join(re.escape(part) for part in line.rstrip().split("…")) + "\n"
    text = masked("".join(f"{line}\n" for line in printed), masks)
    return re.fullmatch(pattern, text) is not None


class Machine:
    """Private machines in which sections are run, one after the other."""

    def __init__(self, steps: Path = ROOT / "steps", directory: Path | None = None) -> None:
        # Named as the test suite's places are: whoever is killed, the next suite sweeps up after.
        prefix = f"mydocker-test-{os.getpid()}-book"
        self.directory = directory or Path(tempfile.mkdtemp(prefix=prefix, dir="/var/tmp"))
        self.directory.mkdir(exist_ok=True)
        self.steps = steps
        self.group = prefix

    def type(self, commands: list[tuple[bool, str]], docker: bool = False) -> list[list[str]]:
        """Type commands, ``(as root, text)``, into a new machine; what each printed."""
        image = self.directory / "image"
        if not image.exists():  # made once, so that not each section begins with it
            place = self._place()
            self._run(place, [(True, "./mydocker run --rm --net none busybox true")])
            shutil.copytree(place / "lib", image, symlinks=True)
        place = self._place()
        shutil.copytree(image, place / "lib", symlinks=True)
        try:
            return self._run(place, commands, docker)
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _place(self) -> Path:
        place = Path(tempfile.mkdtemp(dir=self.directory))
        place.chmod(0o755)  # for what is typed by an ordinary user
        (place / "session").mkdir()
        return place

    def _run(
        self, place: Path, commands: list[tuple[bool, str]], docker: bool = False
    ) -> list[list[str]]:
        session = place / "session"
        lines = ["said() { return $1; }", "code=0"]
        if docker:
            lines.append(_DOCKERD)
        for number, (root, text) in enumerate(commands):
            (session / str(number)).write_text(text)
            typed = 'eval "$text"' if root else f'{_STUDENT} bash -c "$text"'
            lines.append(f"text=$(<{session}/{number}); said $code")
            lines.append(f"{typed} >{session}/{number}.out 2>&1 </dev/null; code=$?")
        (session / "script").write_text("\n".join(lines) + "\n")
        venv = os.environ.get("MYDOCKER_VENV") or str(ROOT / ".venv")
        environment = {
            "PATH": DOCKER_PATH,
            "MYDOCKER_VENV": venv,
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            "COLUMNS": "80",
            "TERM": "dumb",
        }
        started = subprocess.Popen(
            [
                str(ROOT / "chapters/machine.sh"),
                *(str(place), str(self.steps), self.group),
                *("bash", "-c", f"exec bash <{session}/script"),  # it is just `bash` in ps
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=ROOT,
            text=True,
        )
        try:
            said, _ = started.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            begun = [text for number, (_, text) in enumerate(commands) if _out(session, number)]
            raise RuntimeError(f"did not end within {PATIENCE} s: {begun[-1:]}") from None
        finally:
            started.kill()
            started.wait()
            self._remove_groups()
        outputs = []
        for number, (_, text) in enumerate(commands):
            path = _out(session, number)
            if path is None:
                raise RuntimeError(f"the machine ended before this was typed: {text}\n{said}")
            outputs.append(path.read_text(errors="replace"))
        return [[line.rstrip() for line in output.splitlines()] for output in outputs]

    def _remove_groups(self) -> None:
        """The machine has no process any more; the kernel may need a moment to see that."""
        tops = [
            *Path("/sys/fs/cgroup").glob(self.group),
            *Path("/sys/fs/cgroup").glob(f"*/{self.group}"),
        ]
        for top in tops:
            for directory, _, _ in os.walk(top, topdown=False):
                for _ in range(100):
                    try:
                        os.rmdir(directory)
                        break
                    except FileNotFoundError:
                        break
                    except OSError:
                        time.sleep(0.02)

    def close(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)


def _out(session: Path, number: int) -> Path | None:
    path = session / f"{number}.out"
    return path if path.exists() else None


_STUDENT = (
    "setpriv --reuid=1000 --regid=1000 --clear-groups "
    "env HOME=/home/student USER=student LOGNAME=student"
)
_DOCKERD = r"""
{
    dockerd --exec-opt native.cgroupdriver=cgroupfs >/tmp/dockerd.log 2>&1 &
    ./mydocker create --name model busybox
    ./mydocker export -o /tmp/busybox.tar model
    ./mydocker rm model
    for _ in $(seq 200); do # until it answers
        docker import --change 'CMD ["sh"]' /tmp/busybox.tar busybox && break
        sleep 0.1
    done
    docker image inspect busybox || { tail /tmp/dockerd.log; exit 1; }
} </dev/null
"""


# What is made by hand: files, mounts and groups. What mydocker makes is its own affair.
_LOOK = r"""
{ find /tmp -mindepth 1; findmnt -rno TARGET; find /sys/fs/cgroup -type d; } |
    grep -v -e docker -e '^/run/netns$' # ip-netns(8) keeps that one for the next
"""


def compare(blocks_: list[Block], machine: Machine) -> tuple[list[Drift], set[str]]:
    """Run blocks that belong to one machine; what differs from what they say, and what they leave.

    What a reader makes by hand is to be removed by hand, before the section ends.
    """
    commands = [(command.root, command.text) for block in blocks_ for command in block.commands]
    docker = any(DOCKER in block.where for block in blocks_)
    before, *answers, after = machine.type([(True, _LOOK), *commands, (True, _LOOK)], docker)
    printed = iter(answers)
    drifts = []
    for block in blocks_:
        for command in block.commands:
            answer = next(printed)
            if not same(command.output, answer, block.masks):
                drifts.append(Drift(block, command, answer))
    return drifts, set(after) - set(before)


def sessions(chapter: Path) -> dict[str, list[Block]]:
    """The blocks that can be run here, by section; those that need Docker are apart."""
    found: dict[str, list[Block]] = {}
    for block in blocks(chapter):
        if runnable(block) and DOCKER not in block.where:
            found.setdefault(block.section, []).append(block)
    return found


def docker_session(chapters: Iterable[Path]) -> list[Block]:
    """All blocks that need Docker, of all chapters: they share one dockerd."""
    return [
        block
        for chapter in chapters
        for block in blocks(chapter)
        if DOCKER in block.where and runnable(block)
    ]


def rewrite(drifts: Iterable[Drift]) -> None:
    """Put what was printed into the chapters."""
    for drift in sorted(drifts, key=lambda d: d.command.line, reverse=True):
        path = drift.block.chapter
        lines = path.read_text().splitlines()
        first = drift.command.line
        lines[first : first + len(drift.command.output)] = drift.printed
        path.write_text("\n".join(lines) + "\n")


def renew(chapters: list[Path], only: str = "") -> int:
    """Run all transcripts and write down what differs; how many did."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    machine, drifts = Machine(), []
    try:
        for chapter in chapters:
            for section, found in sessions(chapter).items():
                if only in section:
                    drifts += compare(found, machine)[0]
        if (found := docker_session(chapters)) and only in DOCKER:
            drifts += compare(found, machine)[0]
    finally:
        machine.close()
    for drift in drifts:
        print(drift)
    rewrite(drifts)
    return len(drifts)

"""Each notebook runs from a clean kernel, shows what is true, and stores nothing private."""

import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from runpy import run_path
from typing import Any

import pytest
from sandbox.machine import Sandbox

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "notebooks"
NAMES = sorted(path.stem for path in (NOTEBOOKS / "source").glob("*.py"))
LIMIT = 300_000  # bytes of a notebook: it is read on pages, and kept in git


def build(
    *arguments: str | Path, notebooks: Path = NOTEBOOKS, **options: Any
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, notebooks / "build.py", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
        **options,
    )


class Notebook:
    """An executed notebook: the text that its cells show."""

    def __init__(self, path: Path) -> None:
        self.cells: list[dict[str, Any]] = json.loads(path.read_text())["cells"]
        self.code = [cell for cell in self.cells if cell["cell_type"] == "code"]

    def text(self, tag: str) -> str:
        """What the one cell with this tag shows."""
        (cell,) = [cell for cell in self.code if tag in cell["metadata"].get("tags", [])]
        return shown(cell)

    @property
    def pictures(self) -> list[str]:
        data = [output.get("data", {}) for cell in self.code for output in cell["outputs"]]
        return [kind for each in data for kind in each if kind.startswith("image/")]


def shown(cell: dict[str, Any]) -> str:
    texts = []
    for output in cell["outputs"]:
        data = output.get("data", {})
        for value in (output.get("text"), data.get("text/markdown") or data.get("text/plain")):
            texts.append("".join(value or []))
    return "".join(texts)


# What must be true of each notebook whatever the machine: (tag of the cell, what it shows)
TRUTHS = {
    "proc": [
        ("states", r"It is: STSZ\nafter wait\(2\), its directory is there: False"),
        ("maps", r"executable: \[.*'/\S*busybox'.*\[vdso\]"),
        ("fd", r"two ends of a pipe have the same number: True"),
        ("tcp", r"it reads: 127\.0\.0\.1 and the port is ours: True\nstate 0A"),
        ("inside", r"It is: 2\n"),
        ("views", r"(?s)name: classroom.*in a container.*name: box.*group: 0::/\n"),
        ("mounts", r"(?s)/.* overlay rw.*/dev/pts"),
        ("exercise", r"1\.5 .* to do\n"),
    ],
    "cgroup": [
        ("world", r"This machine's world is (v1|v2|hybrid)"),
        ("made", r"It is: \d+\n"),
        ("pids", r"fork failed with EAGAIN\nrefused by the controller: [1-9]\d*\n.*It is: 11 *\n"),
        ("weights", r"heavy has the weight (4096|303)\nlight has the weight (1024|100)\n"),
        ("inside", r"It is: machine\n"),
        ("exercise", r"2\.2 .* to do\n"),
    ],
    "01-namespaces": [
        ("matrix", r"run --uts --net: 2 of its own: uts net\n"),
        ("matrix", r"run: 8 of its own: uts pid mnt ipc net user cgroup time\n"),
        ("matrix", r"It is: \(2, 8\)"),
        ("hostname", r"(?s)^box\nand outside: classroom\n.*CLONE_NEWUTS.*sethostname"),
        ("pids", r"It is: \[1, 2, 3\]\nleft of the three: none\n"),
        ("mounts", r"\nnote\nThe same directory here: empty\n"),
        ("users", r"(?s)\n0\n +0 +100000 +1000\n.*It is: 100000\n"),
        ("time", r"started 1000 days earlier"),
        ("exercise", r"1\.2 .* to do\n"),
    ],
    "02-cgroups": [
        ("eaten", r"ended by signal 9\nthe OOM killer came: 1\n.*: 6[34] MiB\n.*It is: [56]\d MiB"),
        ("oom", r"killed: out of memory, limit 64 MiB\n\[exit code 137\]"),
        ("cpu", r"--cpus 0\.5: \d+\.\d+ s of CPU time; in [1-9]\d* of \d+ periods it had to wait"),
        ("freezer", r"while it was frozen: 0\n.*clock: [0-9.]+ s\nit runs: True\n.*It is: 3\n"),
        ("pids", r"started 4\n.*can't fork: Resource temporarily unavailable\n\[exit code 2\]"),
        ("exercise", r"2\.6 .* to do\n"),
    ],
    "03-overlay2": [
        ("merged", r"\['colour', 'motd', 'news', 'secret'\]\n.*It is: blue\n"),
        ("copy-up", r"motd below: 'hello', .*\nmotd in the container's layer: 'hello you'"),
        ("copy-up", r"two files now: True\nsecret is a character device \(0, 0\)\n.*It is: 3\n"),
        ("cost", r"It is: 33554434 bytes"),
        ("diff", r"D /etc/passwd\n"),
        ("diff", r"A /data/file\n"),
        ("tree", r"(?s)image busybox.*container one.*1 whiteouts.*container two"),
        ("exercise", r"3\.5 .* to do\n"),
    ],
    "04-network": [
        ("bridge", r"(?s)br0 +UP.*veth-red.*veth-blue.*master br0"),
        ("packets", r"^red sent \S+02 → ff:ff:ff:ff:ff:ff +arp +who has 10\.1\.0\.3\?"),
        ("packets", r"10\.1\.0\.3 → 10\.1\.0\.2 echo reply\n.*It is: 2 frames\n"),
        ("learnt", r"02:00:00:00:00:03 dev veth-blue"),
        ("nat", r"br0 +10\.1\.0\.2 → 203\.0\.113\.9 echo request"),
        ("nat", r"wan0 +203\.0\.113\.1 → 203\.0\.113\.9 echo request"),
        ("nat", r"It is: 203\.0\.113\.1\n"),
        ("containers", r"\nhi\n"),
        ("exercise", r"4\.1 .* to do\n"),
    ],
    "05-cli": [
        ("start", r"requests until the command runs: ([5-9]\d|\d{3})\n"),
        ("life", r"pause life +→ paused\n(.*\n)*rm -f life +→ gone\n"),
        ("life", r"events: create start pause unpause .*destroy\n"),
        ("monitor", r"not this kernel: True\n\$ mydocker wait guarded\n7\n"),
        ("xray", r"(?s)namespaces.*control group.*layers.*network.*processes"),
        ("killed", r"(?s)It is: False\n.*patient: (exited|dead).*\n0\n"),
        ("exercise", r"5\.3 .* to do\n"),
    ],
}
PICTURES = {"proc": 1, "cgroup": 2, "01-namespaces": 1, "02-cgroups": 3, "03-overlay2": 3,
            "04-network": 3, "05-cli": 2}  # fmt: skip


@pytest.mark.root
@pytest.mark.parametrize("name", NAMES)
def test_runs_from_a_clean_kernel_and_shows_what_is_true(name: str, tmp_path: Path) -> None:
    done = build("--to", tmp_path, name)
    assert done.returncode == 0, done.stderr
    notebook = Notebook(tmp_path / f"{name}.ipynb")
    for tag, truth in TRUTHS[name]:
        assert re.search(truth, notebook.text(tag)), f"{tag}: {notebook.text(tag)}"
    assert len(notebook.pictures) == PICTURES[name]
    check_private(tmp_path / f"{name}.ipynb")


def test_what_the_kernel_sends_unasked_is_not_shown() -> None:
    """IGMP and IPv6 come when a link comes up, now before the first ping and now after it."""
    # By its file: the package itself makes a room around whoever imports it.
    decode = run_path(str(ROOT / "notebooks/workbench/packets.py"))["decode"]
    ethernet = bytes.fromhex("01005e000016020000000002")
    addresses = socket.inet_aton("10.1.0.2") + socket.inet_aton("224.0.0.22")

    def ipv4(protocol: int, body: bytes) -> bytes:
        head = (
            b"\x45\0" + struct.pack("!H", 20 + len(body)) + b"\0" * 4 + bytes([1, protocol, 0, 0])
        )
        return ethernet + b"\x08\x00" + head + addresses + body

    assert decode(ipv4(2, b"\x22" + b"\0" * 15)) is None
    assert decode(ethernet + b"\x86\xdd" + b"\0" * 60) is None
    echo = decode(ipv4(1, b"\x08" + b"\0" * 7))
    assert echo is not None and echo.text == "10.1.0.2 → 224.0.0.22 echo request"


# ---------------------------------------------------------------- what is stored


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the notebooks as their sources are, without outputs."""
    place = tmp_path_factory.mktemp("sources")
    program = """
import sys, build, nbformat
for name in build.names():
    nbformat.write(build.read(name), f"{sys.argv[1]}/{name}.ipynb")
"""
    subprocess.run([sys.executable, "-c", program, place], cwd=NOTEBOOKS, check=True)
    return place


@pytest.mark.parametrize("name", NAMES)
def test_what_is_stored_is_the_source_with_its_outputs(name: str, sources: Path) -> None:
    stored = Notebook(NOTEBOOKS / f"{name}.ipynb")
    source = Notebook(sources / f"{name}.ipynb")
    told = f"is not what is in source/{name}.py: python3 notebooks/build.py {name}"
    for mine, theirs in zip(stored.cells, source.cells, strict=False):
        assert mine["source"] == theirs["source"], f"a cell {told}"
    assert len(stored.cells) == len(source.cells), f"the number of cells {told}"
    kinds = [output["output_type"] for cell in stored.code for output in cell["outputs"]]
    assert kinds and "error" not in kinds
    assert all(cell["execution_count"] for cell in stored.code)
    assert len(stored.pictures) == PICTURES[name]
    for tag, truth in TRUTHS[name]:
        assert re.search(truth, stored.text(tag)), f"{tag}: {stored.text(tag)}"
    assert (NOTEBOOKS / f"{name}.ipynb").stat().st_size < LIMIT


@pytest.mark.parametrize("name", NAMES)
def test_nothing_stored_is_private(name: str) -> None:
    check_private(NOTEBOOKS / f"{name}.ipynb")


# Homes of people, temporary names, network cards of real makers' numbers are in nobody's notebook.
TELLTALE = re.compile(
    r"/home/(?!you/)\w+|/root/(?!overlay2|containers|image|network|volumes)\w+"
    r"|/tmp/(?!mydocker-notebook\b)[\w-]{6,}|/Users/|notebook-\d|mydocker-test|__pycache__"
)


def check_private(path: Path) -> None:
    cells = Notebook(path).code
    texts = [json.dumps(cell["outputs"], ensure_ascii=False) for cell in cells]
    texts = [re.sub(r'"image/png": "[^"]*"', "", text) for text in texts]
    for text in texts:
        assert not (found := TELLTALE.search(text)), text[max(0, found.start() - 80) :][:200]
        for private in private_names():
            assert not re.search(rf"(?<!\w){re.escape(private)}(?!\w)", text), private


def private_names() -> Iterator[str]:
    """What this machine is called, and where things are on it."""
    yield str(ROOT)
    yield sys.prefix
    for path in ("/etc/machine-id", "/proc/sys/kernel/random/boot_id"):
        if os.path.exists(path) and (text := Path(path).read_text().strip()):
            yield text
    name = socket.gethostname()
    if len(name) > 3 and name not in ("localhost", "debian", "classroom", "mydocker"):
        yield name
    for line in Path("/etc/passwd").read_text().splitlines():
        user, _, uid, _, _, home, _ = line.split(":")
        if 1000 <= int(uid) < 60000:
            yield from (home, user) if len(user) > 4 else (home,)


# ---------------------------------------------------------------- without root


@pytest.mark.root  # to become a user who is not
def test_without_root_a_cell_says_so_and_shows_what_was_recorded(sandbox: Sandbox) -> None:
    place = sandbox.directory / "reader"  # the checkout may lie where this user cannot look
    place.mkdir()
    shutil.copytree(NOTEBOOKS, place / "notebooks")
    shutil.copy(ROOT / "course.toml", place)
    (place / "steps").symlink_to(sandbox.steps)
    (place / "learn").symlink_to(sandbox.steps.parent / "learn")
    (place / "out").mkdir()
    for path in (place, *place.rglob("*")):
        os.chown(path, 65534, 65534, follow_symlinks=False)
    environment = {**os.environ, "HOME": str(place), "TMPDIR": str(place)}
    done = build(
        "--to", place / "out", notebooks=place / "notebooks", user=65534, group=65534,
        extra_groups=[], env=environment, cwd=place,
    )  # fmt: skip
    try:
        assert done.returncode == 0, done.stderr
        for name in NAMES:
            check_recorded(Notebook(place / "out" / f"{name}.ipynb"), name)
    finally:
        shutil.rmtree(place)


def check_recorded(notebook: Notebook, name: str) -> None:
    stored = Notebook(NOTEBOOKS / f"{name}.ipynb")
    replaced = 0
    for cell, original in zip(notebook.code, stored.code, strict=True):
        text = shown(cell)
        assert "error" not in [output["output_type"] for output in cell["outputs"]], text
        if "".join(cell["source"]).startswith("# needs root"):
            note = "This cell needs root (start it by sudo ./mydocker notebook): "
            assert text.startswith(note), text
            rest = text.removeprefix(note)
            if original["outputs"]:
                assert rest.startswith("here is what was recorded.")
                assert rest.removeprefix("here is what was recorded.") == shown(original)
                replaced += 1
    assert replaced > 1
    assert len(notebook.pictures) == len(stored.pictures)


def test_a_cell_that_was_changed_has_no_record() -> None:
    program = "from workbench import recorded; print(recorded.find('# needs root\\nshell(\"ls\")'))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=NOTEBOOKS, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"

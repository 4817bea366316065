"""What the engine reads and writes, apart from any container: times, keys, logs, help."""

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandbox.launcher import Launcher

from mydocker.cli.options import _rotation
from mydocker.engine.words.templates import Template
from mydocker.kernel.errors import Failure
from mydocker.kernel.numbers import decimal


@given(st.integers(0, 4 * 10**18))
def test_moments_are_read_as_they_were_written(nanoseconds: int) -> None:
    from mydocker.engine.words.times import moment, number, text

    written = text(nanoseconds)
    assert number(written) == nanoseconds
    assert moment(written) == nanoseconds
    assert written[:19] == time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(nanoseconds // 10**9))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (150, "2 minutes"),
        (3600, "About an hour"),
        (47 * 3600, "47 hours"),
        (3 * 86400, "3 days"),
        (20 * 86400, "2 weeks"),
        (90 * 86400, "3 months"),
        (800 * 86400, "2 years"),
    ],
)
def test_spans_in_words(seconds: float, words: str) -> None:
    from mydocker.engine.words.times import span

    assert span(seconds) == words


@pytest.mark.parametrize(
    ("written", "nanoseconds"),
    [("10s", 10**10), ("1h30m", 5400 * 10**9), ("1.5m", 90 * 10**9), ("100ms", 10**8), ("0", 0)],
)
def test_durations(written: str, nanoseconds: int) -> None:
    from mydocker.engine.words.times import duration

    assert duration(written) == nanoseconds


@pytest.mark.parametrize("written", ["", "10", "s", "1d", "1 s", "-1s", "1h x"])
def test_what_is_no_duration(written: str) -> None:
    from mydocker.engine.words.times import duration
    from mydocker.kernel.errors import Invalid

    with pytest.raises(Invalid):
        duration(written)


def test_numbers_as_somebody_writes_them() -> None:
    cases: dict[str, int | None] = {"7": 7, "0": 0, "007": 7, "0" * 5000 + "7": 7, "256": 256}
    wrong = ("", " 7", "7 ", "+7", "-7", "1_0", "0x7", "7.0", "\u00b2", "\u0661", "9" * 5000, "257")
    cases |= dict.fromkeys(wrong)
    assert {text: decimal(text, 256) for text in cases} == cases


TEMPLATES = {
    "{{json .}}": '{"a":"<b> & é","n":[1,null,true]}',
    "{{json .a}} {{json .n}}": '"<b> & é" [1,null,true]',
    '{{truncate .a 3}}|{{truncate "ab" 3}}|{{"abc" | len}}|{{truncate "abc" 0}}': "<b>|ab|3|",
    '{{eq 1 2 1}} {{eq 1 2 3}} {{eq "x" "y" "x"}} {{eq 1 1}}': "true false true true",
    "{{if eq (len .n) 1 2 3}}yes{{else}}no{{end}}": "yes",
    '{{printf "%5d|%-3s|" 7 "a"}}{{pad "a" 1 2}}|': "    7|a  | a  |",
}


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_functions_of_templates(template: str) -> None:
    value = {"a": "<b> & é", "n": [1, None, True]}
    assert Template(template)(value) == TEMPLATES[template]


WRONG = [
    "{{(" + "(" * 3000 + "1", "{{" + "if .a}}{{" * 3000, '{{printf "%99999999d" 1}}', '{{"\x01"}}',
    '{{pad "a" 99999999 1}}', "{{" + "9" * 5000 + "}}", "{{.n.x}}", "{{truncate 1 1}}",
    "{{lower 1}}",
]  # fmt: skip


@pytest.mark.parametrize("template", WRONG, ids=range(len(WRONG)))
def test_a_template_that_is_wrong_is_one_line(template: str) -> None:
    with pytest.raises(Failure, match=r"^template") as caught:
        Template(template)({"a": "b", "n": []})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("count", ["0", "-1", "x", "", "9" * 5000], ids=range(5))
def test_a_log_of_no_files(count: str) -> None:
    with pytest.raises(Failure, match="max-file cannot be less than 1"):
        _rotation({"log_opts": [f"max-file={count}", "max-size=1m"]})


def test_a_log_as_it_is_asked_for() -> None:
    assert _rotation({"log_opts": ["max-size=1m", "max-file=3"]}) == (1 << 20, 3)
    assert _rotation({"log_opts": []}) == (-1, 1)
    with pytest.raises(Failure, match="max-size must be set"):
        _rotation({"log_opts": ["max-file=2"]})
    for size in ("0", "9" * 5000, "x"):
        with pytest.raises(Failure):
            _rotation({"log_opts": [f"max-size={size}"]})


def test_detach_keys() -> None:
    from mydocker.cli.attaching import parse_keys
    from mydocker.kernel.errors import Invalid

    assert parse_keys("ctrl-p,ctrl-q") == b"\x10\x11"
    assert parse_keys("a,ctrl-@,ctrl-_") == b"a\x00\x1f"
    assert parse_keys("") == b""
    for wrong in ("ctrl-", "ab", "ctrl-1", "ü"):
        with pytest.raises(Invalid):
            parse_keys(wrong)


CHUNKS = st.lists(st.binary(max_size=60) | st.text('ab\n\\"n\x01ü', max_size=40).map(str.encode))


@given(CHUNKS, st.sampled_from([-1, 400, 100_000]))
def test_a_log_keeps_what_it_is_given(chunks: list[bytes], size: int) -> None:
    import tempfile

    from mydocker.engine.monitor.logfile import Log

    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "log"
        log = Log(str(path), size, 1000)
        for chunk in chunks:
            log.add("stdout", chunk)
        log.finish()
        files = sorted(Path(directory).iterdir(), key=_age, reverse=True)
        entries = [json.loads(line) for file in files for line in file.read_bytes().splitlines()]
    whole = b"".join(chunks)
    lines = whole.split(b"\n")
    wanted = [line.decode(errors="replace") + "\n" for line in lines[:-1]]
    wanted += [lines[-1].decode(errors="replace")] if lines[-1] else []
    assert [entry["log"] for entry in entries] == wanted


@pytest.mark.parametrize("files", [1, 3])
def test_a_full_log_makes_room(tmp_path: Path, files: int) -> None:
    from mydocker.engine.monitor.logfile import Log

    log = Log(str(tmp_path / "log"), 250, files)
    for number in range(20):  # three of them fill a file
        log.add("stdout", f"line {number}\n".encode())
    log.finish()
    names = ["log", "log.1", "log.2"][:files]
    assert sorted(file.name for file in tmp_path.iterdir()) == names
    kept = [json.loads(line)["log"] for name in reversed(names)
            for line in (tmp_path / name).read_text().splitlines()]  # fmt: skip
    assert kept == [f"line {number}\n" for number in range(20 - len(kept), 20)]
    assert max((tmp_path / name).stat().st_size for name in names) <= 250


def _age(file: Path) -> int:
    return int(file.suffix[1:] or 0)


def test_the_help_has_every_command_once(mydocker: Launcher) -> None:
    from mydocker.cli.main import group

    shown = mydocker(5, "--help").stdout
    names = [line.split()[0] for line in shown.splitlines() if line.startswith("  ") and "  " in
             line.strip() and line[2] != " " and not line.startswith("  -")]  # fmt: skip
    assert sorted(names) == sorted(group.lazy)
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.root
def test_the_shell_is_offered_names(mydocker: Launcher) -> None:
    from sandbox.containers import Containers

    containers = Containers(mydocker)
    containers.need_image()
    containers("create", "--name", "webserver", "--net", "none", "busybox", "true")
    words = {
        "_MYDOCKER_COMPLETE": "bash_complete",
        "COMP_WORDS": "mydocker rm we",
        "COMP_CWORD": "2",
    }
    try:
        assert mydocker(5, env=words, code=None).stdout == "plain,webserver\n"
    finally:
        containers.clear()

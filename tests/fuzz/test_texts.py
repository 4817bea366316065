"""Whatever is written in an option, a template, a packet or a file of an image: a value, or one
line that says what is wrong; never another error, and never without end."""

import os
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import pytest
from sandbox.fuzzing import fails_only_so, fuzz, mutated

from mydocker.cgroups import limits
from mydocker.cli import attaching, options
from mydocker.engine.life import creation
from mydocker.engine.looking import logs
from mydocker.engine.records import events, names
from mydocker.engine.volumes import forms
from mydocker.engine.words import filters, times
from mydocker.engine.words.templates import Template
from mydocker.kernel import sizes
from mydocker.kernel.errors import Failure
from mydocker.network import addresses, host, ports, small_dns
from mydocker.network import names as dns
from mydocker.overlay2 import environment, instructions, reference, size_limit, user, volumes
from mydocker.overlay2.image import ImageConfig
from mydocker.security import capabilities, sysctls, ulimits

VALUE: dict[str, Any] = {
    "ID": "0123456789ab",
    "Name": "web",
    "State": {"Status": "running", "Pid": 7, "Health": None, "Running": True},
    "Mounts": [{"Source": "/a", "Destination": "/b", "RW": True}, {}],
    "Labels": {"a": "b", "": ""},
    "Empty": [],
    "Float": 1.5,
    "Label": lambda key: "value",
}
TEMPLATES = [
    "{{.ID}} {{json .}} {{- .Name -}} ",
    "{{range .Mounts}}{{.Source}}{{else}}none{{end}}{{with .State}}{{.Status | upper}}{{end}}",
    '{{range $k, $v := .Labels}}{{$k}}={{printf "%-5q|%05d" $v 7}}{{end}}',
    '{{if eq .Name "a" "b" "web"}}x{{else if and .ID (not .Empty)}}y{{else}}z{{end}}',
    '{{index .Mounts 0 "Source"}}{{len .Labels}}{{join .Empty ","}}{{split .Name "e"}}',
    '{{truncate .ID 5}}{{pad .Name 1 2}}{{slice .ID 1 3}}{{lt 1 2}}{{.Label "x"}}{{println $}}',
    '{{$x := .State}}{{$x.Pid}}{{title "a"}}{{print 1.5 -2 nil true}}{{/* said */}}',
]
WORDS = [
    "{{", "}}", "{{end}}", "{{else}}", "{{range .Mounts}}", "{{if .}}", "{{with $}}", " ", "|", "(",
    ")", '"', "`", "\\", "$x", ":=", ".ID", ".State", "json", "index", "printf", "len", "slice",
    "pad", "truncate", '"%d"', '"%*d"', '"%1000000000d"', '"%c"', "-1", "1.5", "99999999999", "nil",
    "true", "lt", "eq", "and", "or", "not", "join", "split", "title", "(" * 500, "9" * 5000, "²",
]  # fmt: skip


def filled(text: str) -> object:
    shown = Template(text)(VALUE)
    assert len(shown) < 1 << 22, f"{len(shown)} characters"
    return shown


PACKET = bytes.fromhex("1234 0100 0001 0000 0000 0000")
DNS = [
    PACKET + b"\x03web\x04blue\0\0\x01\0\x01",
    PACKET + b"\x012\x010\x0286\x0210\x07in-addr\x04arpa\0\0\x0c\0\x01",
    PACKET + b"\x01f" * 32 + b"\x03ip6\x04arpa\0\0\x0c\0\x01",
    PACKET + b"\xc0\x0c\0\xff\0\x01",
]
BYTES = [bytes([n]) for n in (0, 1, 2, 12, 28, 63, 64, 128, 192, 255)]
BYTES += [b"\x02ff", b"\x020x", b"\x02+1", b"\x01\xb2", b"\x01.", b"\x03ip6\x04arpa", bytes(12)]


def asked(message: bytes) -> object:
    question = dns.parse(message)
    if question is None:
        return None
    address = dns.asked_address(question.name)
    assert address == "" or addresses.number(address)
    assert question.raw in message and len(question.name) <= 255
    said = dns.answer(question, ["10.0.0.1", "fd00::1"]), dns.answer_names(question, ["web.blue"])
    for answer in (*said, dns.refusal(question, dns.NO_SUCH_NAME)):
        assert (
            answer[:2] == message[:2] and answer[2] & 0x80 and answer[12:].startswith(question.raw)
        )
    return said


def asked_small(message: bytes) -> object:
    return small_dns.answer(message, {"red": "10.1.0.2"})


PASSWD = [
    b"root:x:0:0:root:/root:/bin/sh\nann:x:1000:1001:,,,:/home/ann:/bin/sh\n",
    b"root:x:0:\naudio:x:29:root,ann\nann:x:1001:\n77:x:5:\n",
]
FILE = f"/var/tmp/mydocker-fuzz-{os.getpid()}"


def entered(data: bytes) -> object:
    Path(FILE).write_bytes(data)
    try:
        lines = user._lines(FILE)
    finally:
        os.unlink(FILE)
    found = []
    for name in ("root", "ann", "0", "77", "ann:audio", "1:2", "", "é"):
        try:
            found.append(user.look_up(name, lines, lines))
        except Failure:
            continue
    assert all(0 <= n < 2**31 for one in found for n in (one.uid, one.gid, *one.groups))
    return found


def of_file(read: Callable[[str], object]) -> Callable[[bytes], object]:
    def call(data: bytes) -> object:
        Path(FILE).write_bytes(data)
        try:
            return read(FILE)
        finally:
            os.unlink(FILE)

    return call


def told(line: bytes) -> object:
    """A line of the file of events, as it is shown, and as it is filtered."""
    wanted = {name: ["x"] for name in ("container", "event", "image", "type", "label")}
    found = list(events._between(iter([line]), 0, 1 << 70))
    return [(events.line(event), events.passes(event, wanted)) for event in found]


def rotation(text: str) -> object:
    return options._rotation({"log_opts": text.split(" ")})


def of_the_engine(**written: tuple[str, ...]) -> object:
    """What the engine makes of ``-v``, ``--mount`` and ``--tmpfs``."""
    nothing: dict[str, tuple[str, ...]] = {"volumes": (), "mounts": (), "tmpfs": ()}
    return forms.requested(**(nothing | written))


# What is read, with what, and what such a text looks like
TEXTS: dict[str, tuple[Callable[[str], object], list[str]]] = {
    "template": (filled, TEMPLATES),
    "image": (
        reference.parse,
        ["busybox", "a/b:1.0", "host:5000/a/b@sha256:" + "ab" * 32, "sha256:" + "0" * 64],
    ),
    "size": (sizes.parse_size, ["300M", "1.5GiB", "0", " 7k "]),
    "memory": (limits.memory, ["300M", "0"]),
    "swap": (limits.swap, ["-1", "1g"]),
    "cpus": (limits.cpus, ["0.5", "2", "0"]),
    "whole": (lambda text: limits.whole(text, 1, 9, "number", unlimited=True), ["1", "+5", "-1"]),
    "cpu list": (limits.number_list, ["0-2,5", "0"]),
    "rate": (lambda text: limits.rate(text, is_bytes=True), ["/dev/null:1mb", "/dev/sda:5"]),
    "rate of operations": (lambda text: limits.rate(text, is_bytes=False), ["/dev/sda:500"]),
    "device rule": (limits.device_rule, ["c 1:11 rwm", "a", "b *:* m"]),
    "volume": (volumes.parse_volume, ["/a:/b:ro", "/a:/b:rw,z", "/a:/b"]),
    "tmpfs": (volumes.parse_tmpfs, ["/x", "/x:size=10m,mode=700", "/x:uid=5"]),
    "mount": (
        volumes.parse_mount,
        ["type=bind,src=/a,dst=/b,readonly", "type=tmpfs,target=/x,tmpfs-size=1m,tmpfs-mode=700"],
    ),
    "volume of the engine": (
        lambda text: of_the_engine(volumes=(text,)),
        ["/a:/b:ro", "name:/b:nocopy", "/x"],
    ),
    "mount of the engine": (
        lambda text: of_the_engine(mounts=(text,)),
        ["type=volume,src=name,dst=/b,volume-nocopy", "type=bind,src=/a,dst=/b,readonly=true"],
    ),
    "storage": (lambda text: size_limit.parse([text]), ["size=10G"]),
    "port": (ports.parse, ["80", "8080:80", "127.0.0.1::80/udp", "[::1]:8000-8002:90-92/tcp"]),
    "exposed": (ports.parse_exposed, ["80/tcp", "80-90/udp"]),
    "subnet": (addresses.Subnet.parse, ["10.77.0.0/24", "fd00::/64"]),
    "address": (addresses.number, ["10.77.0.1", "fd00::1"]),
    "resolv.conf": (host.named_servers, ["nameserver 10.0.0.1\nsearch a\nnameserver fe80::1%e0\n"]),
    "change": (
        lambda text: instructions.apply(ImageConfig(), [text]),
        [
            'CMD ["sh", "-c", "true"]', "ENV A=b C='d e'", "EXPOSE 80/tcp 90", "LABEL a=b",
            "USER a", 'ENTRYPOINT ["/x"]', "WORKDIR /a", "VOLUME /v", 'VOLUME ["/v"]',
            "STOPSIGNAL SIGTERM", "HEALTHCHECK NONE", "ONBUILD RUN x", "ENV A b",
        ],
    ),
    "restart": (creation.parse_restart, ["no", "on-failure:3", "always", "unless-stopped"]),
    "signal": (creation.signal_number, ["TERM", "SIGKILL", "9", "RTMIN+3", "SIGRTMAX-1"]),
    "log option": (rotation, ["max-size=10m max-file=3", "max-size=1k", "max-file=1"]),
    "name": (names.check, ["web", "a_b.c-d"]),
    "filter": (lambda text: filters.parse([text], ["name", "label"]), ["name=web", "label=a=b"]),
    "duration": (times.duration, ["1h30m", "10s", "1.5s", "100ms"]),
    "moment": (times.moment, ["10m", "2024-01-02T03:04:05.678Z", "1700000000.5", "2024-01-02"]),
    "moment of ours": (times.number, [times.NEVER, "2026-01-31T12:00:00.123456789Z"]),
    "detach keys": (attaching.parse_keys, ["ctrl-p,ctrl-q", "a,b", "ctrl-@"]),
    "ulimit": (ulimits.parse, ["nofile=1024:2048", "core=-1", "nproc=5"]),
    "sysctl": (lambda text: sysctls.parse([text]), ["net.ipv4.ip_forward=1", "kernel.shmmax=5"]),
    "capability": (lambda text: capabilities.parse("--cap-add", text), ["NET_ADMIN", "ALL"]),
    "environment": (
        lambda text: environment.given([text], {"PATH": "/"}), ["A=b", "PATH"]
    ),
}  # fmt: skip
DATA: dict[str, tuple[Callable[[bytes], object], list[bytes], list[bytes]]] = {
    "dns packet": (asked, DNS, BYTES),
    "passwd and group": (entered, PASSWD, []),
    "env file": (of_file(environment.read_env_file), [b"# x\nA=1\nB\n C=2 \n"], []),
    "log entry": (
        logs._parsed, [b'{"log":"x\\n","stream":"stdout","time":"2024-01-02T03:04:05.6Z"}'], []
    ),
    "event": (
        told,
        [
            b'{"status":"die","id":"ab","from":"busybox","Type":"container","Action":"die",'
            b'"timeNano":1700000000000000000,"Actor":{"ID":"ab","Attributes":{"name":"web"}}}'
        ],
        [],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", TEXTS)
def test_text(kind: str) -> None:
    call, seeds = TEXTS[kind]
    words = WORDS if kind == "template" else []
    allowed = (Failure, click.ClickException)
    fuzz(lambda chance: fails_only_so(call, mutated(chance, seeds, words), allowed))


@pytest.mark.parametrize("kind", DATA)
def test_data(kind: str) -> None:
    call, seeds, words = DATA[kind]
    fuzz(lambda chance: fails_only_so(call, mutated(chance, seeds, words), (Failure,)))


def test_the_small_server_of_names() -> None:
    """It may give up on a packet by these errors alone: it catches them."""

    def attempt(chance: random.Random) -> None:
        with suppress(IndexError, ValueError, OSError):
            asked_small(mutated(chance, DNS, BYTES))

    fuzz(attempt)


def test_a_fault_is_found() -> None:
    """The test of the tests."""
    with pytest.raises(pytest.fail.Exception, match="ValueError"):
        fails_only_so(int, "9" * 5000, (Failure,))

"""Archives changed at random: each is unpacked, or refused in one line, and nothing gets out.

By default for two seconds. ``MYDOCKER_TEST_FUZZ_SECONDS=600 ./test 03 -- -k fuzz`` looks longer;
``MYDOCKER_TEST_FUZZ_SEED`` begins where a failure says.
"""

import io
import os
import random
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sandbox.archives import Tar, tree

from mydocker.kernel.errors import Failure
from mydocker.kernel.files import remove_tree
from mydocker.overlay2.archive import unpack
from mydocker.overlay2.tarformat import Reader

pytestmark = pytest.mark.root

SECONDS = float(os.environ.get("MYDOCKER_TEST_FUZZ_SECONDS", "2"))
SEED = int(os.environ.get("MYDOCKER_TEST_FUZZ_SEED", "0"))
BLOCK = 512
# Where the fields of a header are (tar(5)): what a field means decides what harm it can do
FIELDS = ((0, 100), (100, 8), (108, 8), (116, 8), (124, 12), (136, 12), (156, 1), (157, 100),
          (257, 8), (329, 8), (337, 8), (345, 155), (386, 97), (482, 1), (483, 12))  # fmt: skip
TYPES = b"0123456\x007xgLKSVDX"


def seeds(outside: Path) -> list[bytes]:
    """Archives with something of everything that we understand."""
    out = str(outside)
    pax = Tar().directory("d", mode=0o1777).add("d/a", b"a" * 700).hard_link("d/b", "d/a")
    pax.symlink("d/l", "/d").symlink("out", out).symlink("up", "../" * 20 + out[1:])
    pax.add("d/" + "n" * 120, b"x", pax_headers={"SCHILY.xattr.user.note": "value"})
    pax.add("d/.wh.gone").add("d/.wh..wh..opq").add("fifo", type=tarfile.FIFOTYPE)
    pax.add("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3).add("d/a", b"again")
    gnu = Tar(tarfile.GNU_FORMAT).add("e/" * 70 + "x", b"y" * 1500)
    gnu.symlink("l", "m" * 200).directory("l").add("l/in", b"z", uid=1 << 30, size=1)
    sparse = Tar().add(
        "sparse",
        b"3\n0\n512\n1024\n512\n4096\n0\n".ljust(512, b"\0") + b"s" * 1024,
        pax_headers={
            "GNU.sparse.major": "1",
            "GNU.sparse.minor": "0",
            "GNU.sparse.name": "holes",
            "GNU.sparse.realsize": "4096",
        },
    )
    old = Tar().add(
        "older",
        b"s" * 1024,
        pax_headers={"GNU.sparse.map": "0,512,1024,512,4096,0", "GNU.sparse.size": "4096"},
    )
    return [pax.bytes(), gnu.bytes(), sparse.bytes(), old.bytes()]


def changed(data: bytes, chance: random.Random, names: list[bytes]) -> bytes:
    """The archive with some faults in it; headers mostly keep a right checksum."""
    blocks = [bytearray(data[at : at + BLOCK]) for at in range(0, len(data), BLOCK)]
    used = max(1, next((n for n, b in enumerate(blocks) if n and not any(b)), len(blocks)))
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        at = chance.randrange(min(used, len(blocks)))
        block, kind = blocks[at], chance.randrange(9)
        offset, length = chance.choice(FIELDS)
        if kind == 0:
            block[chance.randrange(len(block))] = chance.randrange(256)
        elif kind == 1:
            block[offset : offset + length] = chance.randbytes(length)
        elif kind == 2:  # a name
            place, room = chance.choice(((0, 100), (157, 100), (345, 155)))
            block[place : place + room] = chance.choice(names)[:room].ljust(room, b"\0")
        elif kind == 3:  # a number
            number = chance.choice((0, 1, 511, 512, 1 << 33, (1 << 63) - 1, chance.getrandbits(40)))
            octal = b"%0*o\0" % (length - 1, number)
            binary = b"\x80" + (number & (1 << 88) - 1).to_bytes(11, "big")
            block[offset : offset + length] = chance.choice((octal, binary))[-length:]
        elif kind == 4:
            block[156] = chance.choice(TYPES)
        elif kind == 5 and at + 1 < len(blocks):
            blocks.insert(chance.randrange(at, min(used, len(blocks))), bytearray(block))
        elif kind == 6 and len(blocks) > 2:
            del blocks[at]
        elif kind == 7:  # digits and letters in a record of an extended header
            for position in range(len(block)):
                if chr(block[position]).isalnum() and chance.random() < 0.05:
                    block[position] = chance.choice(b"0123456789-.,=\n\0/9")
        elif kind == 8:
            blocks[at] = bytearray(chance.choice(blocks))
        if chance.random() < 0.9 and at < len(blocks) and len(blocks[at]) == BLOCK:
            seal(blocks[at])
    whole = b"".join(blocks)
    return whole[: chance.randrange(len(whole))] if chance.random() < 0.05 else whole


def seal(block: bytearray) -> None:
    """Give a header its checksum; other blocks are spoilt by it, which is as good."""
    if not any(block):
        return
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)


def waiting(data: bytes) -> Callable[[int], int]:
    """All of the archive is there already."""
    return lambda offset: len(data)


def test_fuzz(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "below").mkdir(parents=True)
    (outside / "canary").write_text("alive")
    before, here = tree(outside), sorted(os.listdir(tmp_path))
    names = [b"../x", b"/../x", b"a/../../x", b"out/x", b"up/below", b"d/l/x", b"out", b".wh.out",
             b"out/canary", os.fsencode(outside / "x"), b"/proc/self/root/x", b".", b"", b"/",
             b".wh...", b".wh.", b"d/.wh..wh..opq", b"l/l/l", b"\xff\xfe"]  # fmt: skip
    originals, target = seeds(outside), tmp_path / "target"
    end, number = time.monotonic() + SECONDS, SEED
    while time.monotonic() < end:
        chance = random.Random(number)
        data = changed(chance.choice(originals), chance, names)
        target.mkdir()
        again = f"MYDOCKER_TEST_FUZZ_SEED={number}"
        file = os.memfd_create("archive")
        try:
            os.write(file, data)
            unpack(Reader(file, waiting(data)), str(target))
        except Failure as failure:
            assert "\n" not in str(failure), again
        except BaseException as error:
            error.add_note(again)
            raise
        finally:
            os.close(file)
        assert sorted(os.listdir(tmp_path)) == [*here, "target"], again
        assert not Path("/x").exists(), again
        if number % 20 == 0:
            assert tree(outside) == before, again
        remove_tree(str(target))
        number += 1
    assert tree(outside) == before
    assert number > SEED


def test_the_archives_that_are_changed_are_good_ones(tmp_path: Path) -> None:
    for number, data in enumerate(seeds(tmp_path / "outside")):
        target = tmp_path / str(number)
        target.mkdir()
        file = os.memfd_create("archive")
        os.write(file, data)
        unpack(Reader(file, waiting(data)), str(target))
        os.close(file)
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            assert len(tar.getnames()) > 0
        assert os.listdir(target)

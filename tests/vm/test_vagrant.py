"""The classroom VM: Vagrant's own check, what its descriptions say, the set-up they share."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

# Evaluates the Vagrantfile for one provider and tells, as JSON, every call made on `config`.
RECORDER = """
require "json"
CALLS = []
class Recorder < BasicObject
  def initialize(name) = @name = name
  def method_missing(name, *words, **more, &block)
    ::CALLS << ["#{@name}.#{name}", *words, more] unless words.empty? && more.empty?
    if name == :provider
      block.call(::Recorder.new("machine"), ::Recorder.new("config")) if words[0] == ::ARGV[0]
      return
    end
    ::Recorder.new("#{@name}.#{name}")
  end
  def respond_to_missing?(*) = true
end
module Vagrant
  def self.configure(version) = yield(Recorder.new("config"))
end
load ARGV[1]
puts JSON.dump(CALLS)
"""


def calls(provider: str) -> list[list[Any]]:
    if not shutil.which("ruby"):
        pytest.skip("no ruby here (it comes with vagrant)")
    done = subprocess.run(
        ["ruby", "-e", RECORDER, provider, str(ROOT / "Vagrantfile")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    recorded: list[list[Any]] = json.loads(done.stdout)
    return recorded


def last(recorded: list[list[Any]], name: str) -> list[Any]:
    """The arguments of the last call: a provider's overrides come after what holds for all."""
    (*_, found) = [call for call in recorded if call[0] == name]
    return found[1:]


def test_vagrant_validates_it(tmp_path: Path) -> None:
    if not shutil.which("vagrant"):
        pytest.skip("vagrant is not installed (Debian's package vagrant)")
    places = {"VAGRANT_HOME": f"{tmp_path}/home", "VAGRANT_DOTFILE_PATH": f"{tmp_path}/dot"}
    done = subprocess.run(
        ["vagrant", "validate", "--ignore-provider"], cwd=ROOT, check=False,
        capture_output=True, text=True, env={**os.environ, **places},
    )  # fmt: skip
    if "Read-only file system @" in done.stderr and "/usr/" in done.stderr:
        pytest.skip("vagrant 2.3 writes below /usr at its start, which the suite makes read-only")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "validated successfully" in done.stdout


@pytest.mark.parametrize(
    ("provider", "box", "share"),
    [
        ("libvirt", "debian/bookworm64", "virtiofs"),
        ("virtualbox", "bento/debian-12", "virtualbox"),
        ("parallels", "bento/debian-12", None),
        ("vmware_desktop", "bento/debian-12", None),
    ],
)
def test_a_pinned_debian_shared_both_ways(provider: str, box: str, share: str | None) -> None:
    recorded = calls(provider)
    assert last(recorded, "config.vm.box=")[0] == box
    assert re.fullmatch(r"\d+\.\d+\.\d+", last(recorded, "config.vm.box_version=")[0])
    # rsync, the boxes' own default, copies in one direction only
    shared = [call[1:] for call in recorded if call[0] == "config.vm.synced_folder"]
    assert [s[2]["type"] for s in shared] == ([share] if share else [])
    assert all(s[:2] == [".", "/vagrant"] for s in shared)


def test_only_this_computer_reaches_the_notebooks() -> None:
    network, port, _ = *last(calls("libvirt"), "config.vm.network"), None
    assert network == "forwarded_port"
    assert (port["host"], port["host_ip"]) == (8888, "127.0.0.1")
    provision = (ROOT / "vm/provision.sh").read_text()
    assert f"ListenStream={port['guest']}\n" in provision
    assert f"guestPort: {port['guest']}\n    ignore: true" in (ROOT / "vm/lima.yaml").read_text()


def test_limas_images_are_pinned_by_digest() -> None:
    text = (ROOT / "vm/lima.yaml").read_text()
    images = re.findall(
        r'location: "https://\S*/(\S+?)\.qcow2"\n.*\n +digest: "sha512:(\w+)"', text
    )
    assert len(images) == text.count('location: "https') == 2
    for name, digest in images:
        assert re.fullmatch(r"debian-12-genericcloud-(arm64|amd64)-\d{8}-\d+", name)
        assert re.fullmatch("[0-9a-f]{128}", digest)


@pytest.mark.parametrize(
    ("arguments", "said"), [((), "repository"), (("/no/such/place",), "/no/such/place")]
)
def test_the_set_up_changes_nothing_when_called_wrongly(
    arguments: tuple[str, ...], said: str
) -> None:
    if os.geteuid() != 0:
        pytest.skip("the set-up is for root")
    done = subprocess.run(
        ["sh", ROOT / "vm/provision.sh", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert said in done.stderr
    assert done.stderr.count("\n") == 1

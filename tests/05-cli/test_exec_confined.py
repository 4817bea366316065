"""exec: what the first process was given, or kept from, holds for one that comes later too."""

import ctypes
import os
import platform
import subprocess
import uuid

import pytest
from sandbox.containers import Containers
from sandbox.inside import PYTHON, python

from mydocker.kernel import syscalls

pytestmark = pytest.mark.root

SLEEP = ("busybox", "sleep", "1000")


def test_more_groups(docker: Containers) -> None:
    docker.run("--name", "one", "--group-add", "4711", "--group-add", "tty", *SLEEP)
    assert {"4711", "5"} <= set(docker("exec", "one", "id", "-G").stdout.split())
    as_user = docker("exec", "-u", "33:44", "one", "id", "-G").stdout.split()
    assert as_user[0] == "44" and {"4711", "5"} <= set(as_user)
    told = docker("exec", "-t", "one", "id", "-G").stdout.split()
    assert {"4711", "5"} <= set(told)


def test_the_callers_keys_stay_with_the_caller(docker: Containers) -> None:
    """A session keyring is inherited by every child, whatever namespaces it joins (keyrings(7))."""
    add_key = {"x86_64": 248, "aarch64": 217}[platform.machine()]
    libc, description = ctypes.CDLL(None, use_errno=True), f"secret-{uuid.uuid4().hex}".encode()
    script = f"""
keyctl = {{"x86_64": 250, "aarch64": 219}}[os.uname().machine]
kind, description = buffer(b"user"), buffer({description!r})
print("found" if call(keyctl, 10, -3, kind, description, 0) == "ok" else "nothing")
"""
    docker.run("--name", "one", "--security-opt", "seccomp=unconfined", *PYTHON, *SLEEP)

    def ours() -> None:  # in the child that becomes mydocker: a keyring, and a key in it
        syscalls.join_session_keyring(f"test-{uuid.uuid4().hex}")
        if libc.syscall(add_key, b"user", description, b"password", 8, -3) == -1:
            os._exit(99)

    def said(argv: list[str]) -> str:
        environment = docker.launcher.environment()
        done = subprocess.run(argv, preexec_fn=ours, env=environment, capture_output=True,
                              text=True)  # fmt: skip
        return done.stdout.strip()

    argv = docker.launcher.argv(5, "exec", "one", *python(script))
    if said([argv[0], "-ISc", python(script)[-1]]) != "found":
        pytest.skip("this machine lets us have no keys")
    assert said(argv) == "nothing"

"""What inspect tells of options, as numbers of the kernel's; and options that cannot be."""

import pytest
from sandbox.containers import Containers

pytestmark = pytest.mark.root


@pytest.mark.parametrize(
    ("options", "template", "text"),
    [
        (["--cpus", "0.5"], "{{.HostConfig.NanoCpus}}", "500000000"),
        (["--cpus", "1.25"], "{{.HostConfig.NanoCpus}}", "1250000000"),
        ([], "{{.HostConfig.NanoCpus}}", "0"),
        (
            ["--log-opt", "max-size=20k", "--log-opt", "max-file=3"],
            '{{.HostConfig.LogConfig.Type}} {{index .HostConfig.LogConfig.Config "max-file"}}',
            "json-file 3",
        ),
    ],
)
def test_told(docker: Containers, options: list[str], template: str, text: str) -> None:
    docker("create", "--name", "one", *options, "busybox")
    told = docker.get("one", template)
    assert told == text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["max-size=1k", "max-file=0"], "max-file cannot be less than 1"),
        (["max-size=1k", "max-file=-1"], "max-file cannot be less than 1"),
        (["max-size=1k", "max-file=x"], "max-file cannot be less than 1"),
        (["max-size=0"], "invalid size"),
        (["max-file=2"], "max-size must be set when max-file is greater than 1"),
        (["max-sise=1k"], "unknown log opt 'max-sise'"),
    ],
)
def test_refused(docker: Containers, options: list[str], said: str) -> None:
    words = [word for option in options for word in ("--log-opt", option)]
    done = docker("create", *words, "busybox", code=None)
    assert done.returncode in (1, 125) and said in done.stderr and done.stderr.count("\n") == 1
    assert docker("ps", "-aq").stdout == ""

"""inspect: Docker's shape, and templates over it."""

import json
import os
from decimal import Decimal
from pathlib import Path

import pytest
from sandbox.containers import Containers

pytestmark = pytest.mark.root


def test_the_shape(docker: Containers) -> None:
    options = ["-m", "64M", "-p", "127.0.0.1:8097:80", "-e", "A=b", "-w", "/tmp"]
    options += ["-v", "/tmp:/data:ro"]
    identifier = docker.run("--name", "web", *options, "busybox", "sleep", "1000", net=True)
    (shown,) = json.loads(docker("inspect", "web").stdout)
    assert shown["Id"] == identifier
    assert shown["Name"] == "/web"
    assert (shown["Path"], shown["Args"]) == ("sleep", ["1000"])
    assert Path(f"/proc/{shown['State']['Pid']}/comm").read_text() == "sleep\n"
    assert shown["Config"]["Cmd"] == ["sleep", "1000"]
    assert "A=b" in shown["Config"]["Env"]
    assert shown["HostConfig"]["Memory"] == 64 << 20
    assert shown["Mounts"][0]["Destination"] == "/data"
    assert not shown["Mounts"][0]["RW"]
    network = shown["NetworkSettings"]
    assert network["Ports"] == {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8097"}]}
    assert network["Networks"]["bridge"]["IPAddress"] == network["IPAddress"] != ""
    assert network["IPAddress"] in docker("exec", "web", "ip", "address").stdout
    assert os.path.isdir(shown["GraphDriver"]["Data"]["UpperDir"])
    assert Path(shown["HostsPath"]).read_text().count(network["IPAddress"]) == 1


@pytest.mark.parametrize("cpus", ["2.01", "1.001", "1.1", "0.5", "1"])
def test_cpus_are_what_was_asked_for(docker: Containers, cpus: str) -> None:
    """As a float 2.01 is a little less than that."""
    if float(cpus) > (os.cpu_count() or 1):
        pytest.skip("this machine has fewer")
    docker("create", "--name", "one", "--cpus", cpus, "--net", "none", "busybox")
    assert docker.get("one", "{{.HostConfig.NanoCpus}}") == str(int(Decimal(cpus) * 10**9))


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.Name}} {{.State.Running}}", "/web true"),
        ("{{json .Config.Labels}}", '{"a":"1"}'),
        ('{{index .Config.Labels "a"}}', "1"),
        ('{{join .Config.Cmd ","}}', "sleep,1000"),
        ("{{range $k, $v := .Config.Labels}}{{$k}}={{$v}};{{end}}", "a=1;"),
        ("{{range .Config.Cmd}}<{{.}}>{{end}}", "<sleep><1000>"),
        ("{{range .Mounts}}x{{else}}none{{end}}", "none"),
        ('{{if eq .State.Status "running"}}yes{{else}}no{{end}}', "yes"),
        ("{{if .State.Paused}}p{{else if .State.Running}}r{{end}}", "r"),
        ("{{len .Args}} {{upper .Path}} {{.Args}}", "1 SLEEP [1000]"),
        ('{{printf "%s:%d" .Path .RestartCount}}', "sleep:0"),
        ("{{with .HostConfig.RestartPolicy}}{{.Name}}{{end}}", "no"),
        ("{{.HostConfig.LogConfig}}", "{json-file map[]}"),
        ("a {{- .Path -}} b", "asleepb"),
    ],
)
def test_templates(docker: Containers, template: str, text: str) -> None:
    docker.run("--name", "web", "-l", "a=1", "busybox", "sleep", "1000")
    assert docker("inspect", "-f", template, "web").stdout == f"{text}\n"


@pytest.mark.parametrize(
    "template",
    ["{{.Nothing}}", "{{nosuch .Id}}", "{{.Id", "{{if .Id}}", "{{end}}", "{{range .Id}}"],
)
def test_templates_that_are_wrong(docker: Containers, template: str) -> None:
    """64 for one that cannot be read, as Docker's; 1 for one that asks for what is not there."""
    docker.run("--name", "web", "busybox", "true")
    unreadable = template != "{{.Nothing}}"
    done = docker("inspect", "-f", template, "web", code=64 if unreadable else 1)
    assert done.stdout == ("" if unreadable else "\n")
    assert done.stderr.startswith("mydocker: template")
    assert done.stderr.count("\n") == 1


def test_several_and_what_is_not_there(docker: Containers) -> None:
    docker.run("--name", "one", "busybox", "true")
    done = docker("inspect", "one", "nosuch", code=1)
    assert [shown["Name"] for shown in json.loads(done.stdout)] == ["/one"]
    assert done.stderr == "mydocker: No such object: nosuch\n"
    assert json.loads(docker("inspect", "busybox").stdout)[0]["RepoTags"] == ["busybox:latest"]
    assert "No such container" in docker("inspect", "--type", "container", "busybox", code=1).stderr

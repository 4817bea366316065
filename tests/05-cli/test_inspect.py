"""inspect: Docker's shape, and templates over it."""

import json
import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

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


# What dockerd 20.10 showed of a container that was made, and never started, and of an image
MODEL = json.loads(Path(__file__).with_name("templates.json").read_text())["values"]
# The machine's own, or said to differ in the book
OWN = {
    "Id", "Created", "Image", "Hostname", "CgroupnsMode", "Runtime", "MaskedPaths", "LogPath",
    "ResolvConfPath", "HostnamePath", "HostsPath", "Name", "Data", "RepoDigests", "Comment",
    "DockerVersion", "Size", "VirtualSize", "Layers", "LastTagTime",
}  # fmt: skip


def unlike(ours: Any, model: Any, path: str = "") -> Iterator[str]:
    """Where keys, their order, or values differ."""
    if isinstance(model, dict) and isinstance(ours, dict):
        if list(ours) != list(model):
            yield f"{path}: {list(ours)}, not {list(model)}"
        for key in model.keys() & ours.keys() - OWN:
            yield from unlike(ours[key], model[key], f"{path}.{key}")
    elif ours != model:
        yield f"{path}: {ours!r}, not {model!r}"


def test_keys_order_and_values_are_dockers(docker: Containers) -> None:
    docker("create", "--name", "never", "busybox")
    (made,) = json.loads(docker("inspect", "never").stdout)
    assert list(unlike(made, MODEL["Created"])) == []
    (image,) = json.loads(docker("image", "inspect", "busybox").stdout)
    assert json.loads(docker("inspect", "busybox").stdout) == [image]
    image["Config"]["Env"] = MODEL["Image"]["Config"]["Env"]
    assert list(unlike(image, MODEL["Image"])) == []


def test_what_was_asked_for_is_shown_as_docker_shows_it(docker: Containers) -> None:
    docker("network", "create", "--subnet", "172.31.9.0/24", "front")
    docker("volume", "create", "data")
    docker(
        *("create", "--name", "all", "-v", "data:/data", "-v", "/tmp:/b:ro", "--tmpfs", "/s"),
        *("--cap-add", "net_admin", "--cap-drop", "CAP_MKNOD", "-p", "127.0.0.1:8095:80"),
        *("--expose", "99", "-e", "X=1", "--stop-signal", "INT", "--log-opt", "max-size=1m"),
        *("--net", "front", "--ip", "172.31.9.9", "--network-alias", "al", "-h", "hh"),
        *("busybox", "sh", "-c", "sleep 1; echo"),
    )
    (told,) = json.loads(docker("inspect", "all").stdout)
    host, config = told["HostConfig"], told["Config"]
    assert (host["CapAdd"], host["CapDrop"]) == (["CAP_NET_ADMIN"], ["CAP_MKNOD"])
    assert host["LogConfig"]["Config"] == {"max-size": "1m"} and config["StopSignal"] == "INT"
    assert host["Binds"] == ["data:/data", "/tmp:/b:ro"] and config["Env"][0] == "X=1"
    assert list(config["ExposedPorts"]) == ["80/tcp", "99/tcp"]
    assert [(m["Destination"], m["Mode"]) for m in told["Mounts"]] == [("/b", "ro"), ("/data", "z")]
    one = told["NetworkSettings"]["Networks"]["front"]
    assert one["IPAMConfig"] == {"IPv4Address": "172.31.9.9"}
    assert one["Aliases"] == ["al", told["Id"][:12], "hh"]
    row = docker("ps", "-a", "--format", "{{.Command}} {{.Mounts}} {{.LocalVolumes}}").stdout
    assert row == '"sh -c \'sleep 1; ech…" /tmp,data 1\n'
    docker("rm", "all")
    docker("network", "rm", "front")
    docker("volume", "rm", "data")


def test_a_volume_is_found_as_what_it_is(docker: Containers) -> None:
    docker("volume", "create", "--label", "a=b", "data")
    assert docker("inspect", "-f", "{{.Labels}} {{.Options}}", "data").stdout == "map[a:b] map[]\n"
    assert docker("inspect", "data").stdout == docker("volume", "inspect", "data").stdout
    docker("volume", "rm", "data")


@pytest.mark.parametrize(
    ("ports", "text"),
    [
        ([(80, "0.0.0.0", 8080, "tcp")], "0.0.0.0:8080->80/tcp"),
        ([(n, "0.0.0.0", n, "tcp") for n in (90, 91, 92)], "0.0.0.0:90-92->90-92/tcp"),
        ([(n, "", 0, "udp") for n in (53, 54)], "53-54/udp"),
        ([(n, "", 0, "tcp") for n in (1, 2, 4)], "1-2/tcp, 4/tcp"),
        ([(80, "::", 80, "tcp"), (80, "0.0.0.0", 80, "tcp"), (53, "", 0, "udp")],
         "53/udp, 0.0.0.0:80->80/tcp, [::]:80->80/tcp"),
        ([], ""),
    ],
)  # fmt: skip
def test_ports_in_a_row_are_one_range(ports: list[tuple[int, str, int, str]], text: str) -> None:
    from mydocker.engine.looking.listing import port_text

    assert port_text(ports) == text


def test_a_real_time_signal_is_told_as_it_was_written(docker: Containers) -> None:
    docker("create", "--name", "one", "--stop-signal", "RTMIN+3", "busybox")
    assert docker.get("one", "{{.Config.StopSignal}}") == "RTMIN+3"

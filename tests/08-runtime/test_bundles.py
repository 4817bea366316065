"""What a bundle says is what the container is; and a bundle that says nonsense is one line."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from sandbox.bundles import Runtime
from sandbox.groups import Outside
from sandbox.inside import status

pytestmark = pytest.mark.root
Told = dict[str, Any]


def test_its_namespaces_are_new(runtime: Runtime) -> None:
    pid = runtime.create("sleep", "1000")
    for kind in ("pid", "net", "ipc", "uts", "mnt"):
        assert os.readlink(f"/proc/{pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}")
    assert os.readlink(f"/proc/{pid}/ns/user") == os.readlink("/proc/self/ns/user")


def test_a_namespace_of_another_by_its_path(runtime: Runtime) -> None:
    first = runtime.create("sleep", "1000", identifier="first")
    kinds = {"network": "net", "pid": "pid", "ipc": "ipc", "uts": "uts"}

    def join(told: Told) -> None:
        told["hostname"] = ""
        told["linux"]["cgroupsPath"] += "-second"
        told["linux"]["namespaces"] = [
            {"type": kind, "path": f"/proc/{first}/ns/{name}"} for kind, name in kinds.items()
        ] + [{"type": "mount"}]

    second = runtime.create("sleep", "1000", identifier="second", change=join)
    for name in kinds.values():
        assert os.readlink(f"/proc/{second}/ns/{name}") == os.readlink(f"/proc/{first}/ns/{name}")
    runtime("delete", "--force", "second")


def test_user_groups_umask_and_powers(runtime: Runtime) -> None:
    def numbers(told: Told) -> None:
        told["process"]["user"] = {"uid": 1000, "gid": 1001, "umask": 7, "additionalGids": [5, 6]}
        sets = {"bounding": ["CAP_KILL", "CAP_CHOWN"], "permitted": ["CAP_KILL"]}
        sets |= {"inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"], "effective": ["CAP_KILL"]}
        told["process"]["capabilities"] = sets

    done = runtime.run("sh", "-c", "id; umask; cat /proc/self/status", change=numbers)
    assert done.stdout.startswith("uid=1000 gid=1001 groups=5,6\n0007\n")
    lines = status(done.stdout)
    kill, both = f"{1 << 5:016x}", f"{1 << 5 | 1:016x}"
    assert {name: lines[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {
        "CapInh": kill, "CapPrm": kill, "CapEff": kill, "CapBnd": both, "CapAmb": kill,
    }  # fmt: skip
    assert lines["NoNewPrivs"] == "1"


def test_without_capabilities_it_has_none(runtime: Runtime) -> None:
    done = runtime.run(
        "cat", "/proc/self/status", change=lambda t: t["process"].pop("capabilities")
    )
    lines = status(done.stdout)
    assert {lines[name] for name in lines if name.startswith("Cap")} == {"0" * 16}


def test_limits_of_the_process(runtime: Runtime) -> None:
    def change(told: Told) -> None:
        told["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 99}]
        told["process"]["oomScoreAdj"] = 123

    done = runtime.run("sh", "-c", "ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj",
                       change=change)  # fmt: skip
    assert done.stdout == "77\n99\n123\n"


def test_host_name_directory_and_environment(runtime: Runtime) -> None:
    def change(told: Told) -> None:
        told["hostname"] = "box"
        told["process"] |= {"cwd": "/made/by/us", "env": ["PATH=/bin", "A=b=c"]}

    done = runtime.run("sh", "-c", "hostname; pwd; env", change=change)
    name, directory, *variables = done.stdout.splitlines()
    assert (name, directory) == ("box", "/made/by/us")
    assert {"PATH=/bin", "A=b=c", "HOME=/"} <= set(variables)


def mounts(runtime: Runtime, change: Callable[[Told], object], script: str = "") -> str:
    return runtime.run("sh", "-c", f"cat /proc/self/mountinfo; {script}", change=change).stdout


def options_of(mountinfo: str, target: str) -> set[str]:
    found = [line.split() for line in mountinfo.splitlines() if line.split()[4:5] == [target]]
    return set(found[-1][5].split(","))


def test_mounts_with_their_options(runtime: Runtime, tmp_path: Path) -> None:
    (tmp_path / "shown").mkdir()
    (tmp_path / "shown/file").write_text("of the host\n")

    def change(told: Told) -> None:
        told["root"]["readonly"] = True
        told["mounts"] += [
            {"destination": "/a", "type": "bind", "source": str(tmp_path / "shown"),
             "options": ["rbind", "ro", "nosuid", "nodev"]},
            {"destination": "/b", "type": "tmpfs", "source": "tmpfs",
             "options": ["noexec", "size=64k", "mode=700"]},
        ]  # fmt: skip

    (runtime.bundle.rootfs / "a").mkdir()
    shown = mounts(runtime, change, "cat /a/file; touch /a/x; touch /x; stat -c %a /b; exit 0")
    assert {"ro", "nosuid", "nodev"} <= options_of(shown, "/a")
    assert {"rw", "noexec"} <= options_of(shown, "/b")
    assert "ro" in options_of(shown, "/")
    assert shown.endswith("of the host\n700\n")
    assert not (tmp_path / "shown/x").exists() and not (runtime.bundle.rootfs / "x").exists()


def test_a_bind_whose_source_is_not_there(runtime: Runtime) -> None:
    def change(told: Told) -> None:
        told["mounts"].append(
            {"destination": "/x", "type": "bind", "source": "/nowhere", "options": ["bind"]}
        )

    done = runtime.run("true", change=change, code=1)
    assert "/nowhere" in done.stderr and len(done.stderr.splitlines()) == 1


def test_masked_and_read_only_paths(runtime: Runtime) -> None:
    script = "cat /proc/keys; ls /sys/firmware; echo 1 > /proc/sys/kernel/hostname; exit 0"
    done = runtime.run("sh", "-c", script)
    assert done.stdout == ""
    assert "Read-only file system" in done.stderr


def test_devices_and_their_rules(runtime: Runtime) -> None:
    def change(told: Told) -> None:
        told["linux"]["devices"] = [
            {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640,
             "uid": 7, "gid": 8},
            {"path": "/dev/kmsg2", "type": "c", "major": 1, "minor": 11},
        ]  # fmt: skip
        told["linux"]["resources"]["devices"] = [
            {"allow": False, "access": "rwm"},
            {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rwm"},
        ]

    script = (
        "stat -c '%a %u %g %t:%T' /dev/fuse; cat /dev/kmsg2; echo x > /dev/null; readlink /dev/fd"
    )
    done = runtime.run("sh", "-c", script, change=change)
    assert done.stdout == "640 7 8 a:e5\n/proc/self/fd\n"
    assert "Operation not permitted" in done.stderr, "the group does not allow it"


def test_resources(runtime: Runtime, outside: Outside) -> None:
    def change(told: Told) -> None:
        told["linux"]["resources"] |= {
            "memory": {"limit": 32 << 20, "reservation": 16 << 20},
            "pids": {"limit": 33},
            "cpu": {"shares": 512, "quota": 50000, "period": 100000},
        }

    pid = runtime.create("sleep", "1000", change=change)

    def read(controller: str, v1: str, v2: str) -> str:
        name = v1 if outside.is_v1(controller) else v2
        return (outside.directory(pid, controller) / name).read_text().strip()

    assert read("memory", "memory.limit_in_bytes", "memory.max") == str(32 << 20)
    assert read("memory", "memory.soft_limit_in_bytes", "memory.low") == str(16 << 20)
    assert read("pids", "pids.max", "pids.max") == "33"
    assert read("cpu", "cpu.shares", "cpu.weight") in ("512", "59")
    assert outside.directory(pid, "pids").name == "box", "at the path that the bundle names"
    update = json.dumps({"memory": {"limit": 48 << 20}, "pids": {"limit": 44}})
    runtime("update", "--resources", "-", "box", typed=update)
    assert read("memory", "memory.limit_in_bytes", "memory.max") == str(48 << 20)
    runtime("update", "--pids-limit", "55", "box")
    assert read("pids", "pids.max", "pids.max") == "55"
    told = json.loads(runtime("events", "--stats", "box").stdout)
    assert (told["type"], told["id"]) == ("stats", "box")
    assert told["data"]["pids"] == {"current": 1, "limit": 55}
    assert told["data"]["memory"]["usage"]["limit"] == 48 << 20


def test_resources_that_the_command_line_has_no_word_for(
    runtime: Runtime, outside: Outside
) -> None:
    v1 = outside.is_v1("cpu")

    def change(told: Told) -> None:
        resources = told["linux"]["resources"]
        resources["memory"] = {"limit": 32 << 20, "swappiness": 7}
        resources["cpu"] = {"quota": 50000, "period": 100000, "burst": 20000}
        if outside.is_v1("hugetlb") or not v1:
            resources["hugepageLimits"] = [{"pageSize": "2MB", "limit": 4 << 20}]
        if v1:
            resources["network"] = {"classID": 0x100001}
        else:
            resources["unified"] = {"pids.max": "34"}

    pid = runtime.create("sleep", "1000", change=change)

    def read(controller: str, file: str) -> str:
        return (outside.directory(pid, controller) / file).read_text().strip()

    assert read("cpu", "cpu.cfs_burst_us" if v1 else "cpu.max.burst") == "20000"
    if v1:
        assert read("memory", "memory.swappiness") == "7"
        if outside.is_v1("net_cls"):
            assert read("net_cls", "net_cls.classid") == str(0x100001)
        assert int(read("memory", "memory.memsw.limit_in_bytes")) > 1 << 60
    else:
        assert read("pids", "pids.max") == "34"
    if outside.is_v1("hugetlb"):
        assert read("hugetlb", "hugetlb.2MB.limit_in_bytes") == str(4 << 20)


def test_unified_is_of_cgroup_v2(runtime: Runtime, outside: Outside) -> None:
    if not outside.is_v1("pids"):
        pytest.skip("it has its place there")
    done = runtime.run(
        "true", change=lambda t: t["linux"]["resources"].update(unified={"pids.max": "5"}), code=1
    )
    assert "cannot use unified on cgroup v1" in done.stderr


def test_how_it_is_scheduled(runtime: Runtime) -> None:
    def change(told: Told) -> None:
        told["process"] |= {
            "scheduler": {
                "policy": "SCHED_BATCH",
                "nice": 5,
                "flags": ["SCHED_FLAG_RESET_ON_FORK"],
            },
            "ioPriority": {"class": "IOPRIO_CLASS_IDLE", "priority": 0},
        }
        told["linux"]["personality"] = {"domain": "LINUX32"}

    pid = runtime.create("sleep", "1000", change=change)
    assert os.sched_getscheduler(pid) & 0xFF == os.SCHED_BATCH
    assert os.getpriority(os.PRIO_PROCESS, pid) == 5
    assert psutil.Process(pid).ionice().ioclass == psutil.IOPRIO_CLASS_IDLE
    assert int(Path(f"/proc/{pid}/personality").read_text(), 16) & 0xFF == 8  # PER_LINUX32


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t["process"].update(scheduler={"policy": "SCHED_X"}), "SCHED_X is none of"),
        (
            lambda t: t["process"].update(scheduler={"policy": "SCHED_RR", "runtime": 1}),
            "for SCHED_DEADLINE only",
        ),
        (
            lambda t: t["process"].update(ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 8}),
            "8 is not from 0 to 7",
        ),
        (lambda t: t["linux"].update(personality={"domain": "BSD"}), "BSD is none of"),
        (
            lambda t: t["linux"].update(
                seccomp={"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_X"]}
            ),
            "SECCOMP_X",  # in quotes, which the log escapes
        ),
    ],
)
def test_no_such_word(runtime: Runtime, change: Callable[[Told], object], said: str) -> None:
    done = runtime.run("true", change=change, code=1)
    assert said in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_filter_that_logs(runtime: Runtime) -> None:
    def change(told: Told) -> None:
        flags = ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"]
        told["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "flags": flags}

    assert runtime.run("grep", "Seccomp:", "/proc/self/status", change=change).stdout.endswith(
        "2\n"
    )


def test_on_which_processors_a_command_more_runs(runtime: Runtime, tmp_path: Path) -> None:
    runtime.create("sleep", "1000")
    runtime("start", "box")
    own = json.loads((runtime.bundle.directory / "config.json").read_text())["process"]
    process = own | {
        "args": ["grep", "Cpus_allowed_list", "/proc/self/status"],
        "execCPUAffinity": {"initial": "0", "final": "0"},
    }
    file = tmp_path / "process.json"
    file.write_text(json.dumps(process))
    done = runtime("exec", "--process", str(file), "box")
    assert done.stdout.split() == ["Cpus_allowed_list:", "0"]


def test_so_little_is_enough(runtime: Runtime) -> None:
    """Who creates it is not in the group: it needs no room for a second process."""

    def change(told: Told) -> None:
        told["linux"]["resources"] |= {"memory": {"limit": 6 << 20}, "pids": {"limit": 1}}

    assert runtime.run("echo", "it runs", change=change).stdout == "it runs\n"


def test_a_filter_of_system_calls(runtime: Runtime) -> None:
    def change(told: Told) -> None:
        told["linux"]["seccomp"] = {
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [
                {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 3}
            ],
        }

    for privileges in (True, False):

        def both(told: Told, privileges: bool = privileges) -> None:
            change(told)
            told["process"]["noNewPrivileges"] = privileges

        done = runtime.run("sh", "-c", "grep Seccomp: /proc/self/status; mkdir /x", change=both,
                           code=1)  # fmt: skip
        assert done.stdout.split() == ["Seccomp:", "2"]
        assert "No such process" in done.stderr


def test_sysctls(runtime: Runtime) -> None:
    def change(told: Told) -> None:
        told["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1", "kernel.shmmni": "77"}

    done = runtime.run(
        "cat", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/kernel/shmmni", change=change
    )
    assert done.stdout == "1\n77\n"


def test_a_user_namespace(runtime: Runtime) -> None:
    def change(told: Told) -> None:
        told["linux"]["namespaces"].append({"type": "user"})
        maps = [{"containerID": 0, "hostID": 100000, "size": 65536}]
        told["linux"] |= {"uidMappings": maps, "gidMappings": maps}

    for directory, _, _ in os.walk(runtime.bundle.rootfs):
        os.chown(directory, 100000, 100000)
    runtime.bundle.directory.chmod(0o755)
    done = runtime.run("sh", "-c", "id; cat /proc/self/uid_map; echo x > /dev/null", change=change)
    first, second = done.stdout.splitlines()
    assert first == "uid=0 gid=0" and second.split() == ["0", "100000", "65536"]


WRONG: dict[str, tuple[Callable[[Told], object], str]] = {
    "no args": (lambda t: t["process"].update(args=[]), "args must not be empty"),
    "args of another type": (
        lambda t: t["process"].update(args="sh"),
        "json: cannot unmarshal string into process.args of type array",
    ),
    "a number in args": (
        lambda t: t["process"].update(args=["sh", 5]),
        "json: cannot unmarshal number into process.args[1] of type string",
    ),
    "a relative directory": (
        lambda t: t["process"].update(cwd="x"), "Cwd must be an absolute path",
    ),
    "no directory": (lambda t: t["process"].pop("cwd"), "Cwd property must not be empty"),
    "no root": (lambda t: t.pop("root"), "root must be specified"),
    "a root that is not there": (
        lambda t: t["root"].update(path="nowhere"), "no such file or directory",
    ),
    "the host's root": (lambda t: t["root"].update(path="/"), "invalid rootfs"),
    "another version": (lambda t: t.update(ociVersion="9.0.0"), "only 1.x is supported"),
    "no process": (lambda t: t.pop("process"), "process property must not be empty"),
    "a kind that there is not": (
        lambda t: t["linux"]["namespaces"].append({"type": "foo"}),
        'namespace {"foo" ""} does not exist',
    ),
    "a kind twice": (
        lambda t: t["linux"]["namespaces"].append({"type": "pid"}),
        'malformed spec file: duplicated ns {"pid" ""}',
    ),
    "no mount namespace": (
        lambda t: t["linux"].update(namespaces=[{"type": "uts"}]), "mount namespace",
    ),
    "a name without its namespace": (
        lambda t: t["linux"].update(namespaces=[{"type": "mount"}]),
        "unable to set hostname without a private UTS namespace",
    ),
    "an rlimit that there is not": (
        lambda t: t["process"].update(rlimits=[{"type": "RLIMIT_FOO", "soft": 1, "hard": 1}]),
        "wrong rlimit value: RLIMIT_FOO",
    ),
    "the machine's own switch": (
        lambda t: t["linux"].update(sysctl={"kernel.panic": "1"}),
        'sysctl "kernel.panic" is not in a separate kernel namespace',
    ),
    "a selinux label": (
        lambda t: t["process"].update(selinuxLabel="x"), "selinux is disabled or not supported",
    ),
    "a negative user": (lambda t: t["process"]["user"].update(uid=-1), "is no id"),
    "a group above": (
        lambda t: t["linux"].update(cgroupsPath="/../../x"), "not the path of a group",
    ),
    "a namespace that is not there": (
        lambda t: t["linux"]["namespaces"][1].update(path="/nowhere"), "namespace path /nowhere",
    ),
    "an unknown action": (
        lambda t: t["linux"].update(seccomp={"defaultAction": "SCMP_ACT_FOO"}), "unknown action",
    ),
    "a file in place of a directory": (
        lambda t: t["mounts"].append({"destination": "/bin/busybox", "type": "tmpfs"}),
        "is a file",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_bundle_that_cannot_be(runtime: Runtime, name: str) -> None:
    """Exit code 1, one line, and nothing is left."""
    change, said = WRONG[name]
    done = runtime.run("true", change=change, code=1)
    (line,) = done.stderr.splitlines()
    assert said in line.replace('\\"', '"')
    assert not runtime.root.exists() or os.listdir(runtime.root) == []


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{" * 100_000, "\x00\xff", '{"root": 5}'])
def test_a_file_that_is_no_config(runtime: Runtime, text: str) -> None:
    (runtime.bundle.directory / "config.json").write_bytes(text.encode("latin-1"))
    done = runtime("run", "box", code=1)
    assert len(done.stderr.splitlines()) == 1
    (runtime.bundle.directory / "config.json").unlink()
    done = runtime("run", "box", code=1)
    assert "JSON specification file config.json not found" in done.stderr


def test_a_megabyte_of_arguments(runtime: Runtime) -> None:
    word = "x" * 100_000
    done = runtime.run("sh", "-c", "echo $#", "sh", *[word] * 10)
    assert done.stdout == "10\n"
    done = runtime.run("true", *[word] * 40, code=None)
    assert done.returncode != 0, "more than a quarter of the stack's limit"
    assert os.listdir(runtime.root) == []


def test_spec_writes_what_can_be_run(runtime: Runtime) -> None:
    runtime("spec")
    path = runtime.bundle.directory / "config.json"
    told = json.loads(path.read_text())
    assert told["process"]["args"] == ["sh"] and told["root"] == {
        "path": "rootfs",
        "readonly": True,
    }
    assert "exists. Remove it first" in runtime("spec", code=1).stderr
    told["process"] |= {"terminal": False, "args": ["echo", "from spec"]}
    told["linux"]["cgroupsPath"] = f"/{runtime.bundle.group}/spec"
    path.write_text(json.dumps(told))
    assert runtime("run", "box").stdout == "from spec\n"


def test_features(runtime: Runtime) -> None:
    told = json.loads(runtime("features").stdout)
    assert len(told["hooks"]) == 6 and "createRuntime" in told["hooks"]
    assert {"ro", "rro", "rbind", "rslave"} <= set(told["mountOptions"])
    assert re.fullmatch(r"1\.\d\.\d", told["ociVersionMax"])


@pytest.fixture(scope="session")
def outside() -> Outside:
    return Outside()

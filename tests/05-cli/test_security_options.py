"""ulimits, sysctls, devices, groups, /dev/shm, --privileged: looked at inside the container."""

import os
import resource
import stat
from pathlib import Path

import pytest
from sandbox.inside import need_image
from sandbox.launcher import Launcher

pytestmark = pytest.mark.root


@pytest.fixture(autouse=True)
def image(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("root"):
        need_image(request.getfixturevalue("mydocker"))


RUN = ("run", "--rm", "--net", "none")


def shell(mydocker: Launcher, script: str, *options: str) -> list[str]:
    return mydocker(5, *RUN, *options, "busybox", "sh", "-c", script).stdout.split()


# ---------------------------------------------------------------- ulimits


def test_ulimits(mydocker: Launcher) -> None:
    options = ["--ulimit", "nofile=90:200", "--ulimit", "core=0", "--ulimit", "cpu=77"]
    lines = mydocker(5, *RUN, *options, "busybox", "cat", "/proc/self/limits").stdout.splitlines()
    found = {line[:26].strip(): line[26:].split()[:2] for line in lines}
    assert found["Max open files"] == ["90", "200"]
    assert found["Max core file size"] == ["0", "0"]
    assert found["Max cpu time"] == ["77", "77"]


def test_a_limit_that_leaves_no_descriptor_hits_the_command_and_not_us(mydocker: Launcher) -> None:
    assert shell(mydocker, "echo lives", "--ulimit", "nofile=3") == ["lives"]


def test_to_raise_a_limit_without_the_power_is_one_line(mydocker: Launcher) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    text = f"nofile={hard + 1 if hard > 0 else 1 << 40}"
    done = mydocker(5, *RUN, "--ulimit", text, "busybox", "true", code=None)
    if done.returncode:  # else we have CAP_SYS_RESOURCE, and it may be raised
        assert "CAP_SYS_RESOURCE" in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("files=3", "invalid ulimit type: files"),
        ("nofile", "not a limit"),
        ("nofile=x", "not a limit"),
        ("nofile=3:2", "soft limit must be less than or equal to hard limit"),
        ("nofile=-1:2", "soft limit must be less than or equal to hard limit"),
        ("nofile=99999999999999999999", "not a limit"),
    ],
)
def test_wrong_ulimits(mydocker: Launcher, text: str, said: str) -> None:
    failed = mydocker(5, *RUN, "--ulimit", text, "busybox", "true", code=125)
    assert said in failed.stderr and len(failed.stderr.splitlines()) == 1


# ---------------------------------------------------------------- sysctls


def test_sysctls_are_of_the_container_alone(mydocker: Launcher) -> None:
    names = ("net/ipv4/ip_default_ttl", "kernel/shmmax", "fs/mqueue/msg_max")
    files = [path for name in names if (path := Path("/proc/sys") / name).exists()]
    before = [path.read_text() for path in files]
    options = ["--sysctl", "net.ipv4.ip_default_ttl=33", "--sysctl", "kernel.shmmax=123456",
               "--sysctl", "fs.mqueue.msg_max=7"]  # fmt: skip
    script = "cat " + " ".join(f"/proc/sys/{name}" for name in names)
    assert shell(mydocker, script, *options) == ["33", "123456", "7"]
    assert [path.read_text() for path in files] == before


def test_dockers_own_sysctls(mydocker: Launcher) -> None:
    script = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/ipv4/ping_group_range"
    assert shell(mydocker, script) == ["0", "0", "2147483647"]


@pytest.mark.parametrize(
    "text",
    [
        "kernel.core_pattern=x",
        "vm.swappiness=1",
        "kernel.hostname=x",
        "net.//.kernel.core_pattern=x",  # a slash stands for a dot in a name
        "net/../kernel/core_pattern=x",
        "net.ipv4.ip_forward",
        "=1",
    ],
)
def test_the_machines_own_are_refused(mydocker: Launcher, text: str) -> None:
    before = Path("/proc/sys/kernel/core_pattern").read_text()
    failed = mydocker(5, *RUN, "--sysctl", text, "busybox", "true", code=125)
    assert "--sysctl" in failed.stderr and len(failed.stderr.splitlines()) == 1
    assert Path("/proc/sys/kernel/core_pattern").read_text() == before


def test_no_sysctl_of_the_hosts_network(mydocker: Launcher) -> None:
    options = ["run", "--rm", "--net", "host", "--sysctl", "net.ipv4.ip_default_ttl=33"]
    failed = mydocker(5, *options, "busybox", "true", code=125)
    assert "without a network of its own" in failed.stderr


# ---------------------------------------------------------------- devices


def test_a_device_is_there_and_may_be_used(mydocker: Launcher) -> None:
    """/dev/kmsg is none of the usual ones; reading it needs the leave of the control group."""
    script = "dd if=/dev/kmsg of=/dev/null bs=8k count=1 2>/dev/null && echo read"
    options = ["--device", "/dev/kmsg", "--cap-add", "SYSLOG"]
    number = os.stat("/dev/kmsg").st_rdev
    found = shell(mydocker, f"stat -c '%t %T' /dev/kmsg; {script}", *options)
    assert found == [f"{os.major(number):x}", f"{os.minor(number):x}", "read"]


def test_the_node_alone_opens_nothing(mydocker: Launcher) -> None:
    script = "mknod /tmp/kmsg c 1 11 && echo made; cat /tmp/kmsg 2>&1 >/dev/null | head -1"
    found = " ".join(shell(mydocker, script, "--cap-add", "SYSLOG"))
    assert found.startswith("made") and "Operation not permitted" in found


def test_a_device_under_another_name_and_for_reading_only(mydocker: Launcher) -> None:
    script = (
        "ls -l /tmp/k | cut -c1; head -c 0 /tmp/k && echo read;"
        "(echo x >/tmp/k) 2>/dev/null || echo not written"
    )
    found = shell(mydocker, script, "--device", "/dev/kmsg:/tmp/k:r", "--cap-add", "SYSLOG")
    assert found == ["c", "read", "not", "written"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/etc/passwd", "not a device node"),
        ("/dev/nonesuch", "No such file"),
        ("/dev/null:/dev/x:rwx", "not a device"),
        ("dev/null", "not a device"),
        ("/dev/null:relative:rw", "not a device"),
    ],
)
def test_what_is_no_device(mydocker: Launcher, text: str, said: str) -> None:
    failed = mydocker(5, *RUN, "--device", text, "busybox", "true", code=125)
    assert said in failed.stderr and len(failed.stderr.splitlines()) == 1


def test_a_device_in_a_user_namespace_is_bound(mydocker: Launcher) -> None:
    options = ["--userns", "private", "--device", "/dev/zero:/dev/mine"]
    assert shell(mydocker, "head -c 4 /dev/mine | wc -c", *options) == ["4"]


# ---------------------------------------------------------------- the rest


def test_a_root_that_is_not_root_outside_is_told_why(mydocker: Launcher) -> None:
    """The image's files belong to id 0, which the first map does not know."""
    refused = mydocker(5, *RUN, "--uid-map", "0:100000:10", "busybox", "true", code=125)
    assert "The image's files belong to root" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert shell(mydocker, "id -u", "--uid-map", "0:0:10") == ["0"]


def test_shm_size(mydocker: Launcher) -> None:
    assert shell(mydocker, "df -k /dev/shm | tail -1", "--shm-size", "3m")[1] == "3072"
    assert shell(mydocker, "df -k /dev/shm | tail -1")[1] == "65536"
    failed = mydocker(5, *RUN, "--shm-size", "big", "busybox", "true", code=125)
    assert "big" in failed.stderr and len(failed.stderr.splitlines()) == 1


def test_groups(mydocker: Launcher) -> None:
    found = shell(mydocker, "id -G", "-u", "4242", "--group-add", "4711", "--group-add", "root")
    assert set(found) == {"0", "4711"}
    failed = mydocker(5, *RUN, "--group-add", "nonesuch", "busybox", "true", code=125)
    assert "--group-add nonesuch: unable to find group" in failed.stderr


def test_oom_score(mydocker: Launcher) -> None:
    assert shell(mydocker, "cat /proc/self/oom_score_adj", "--oom-score-adj", "321") == ["321"]
    failed = mydocker(5, *RUN, "--oom-score-adj", "1001", "busybox", "true", code=125)
    assert "[-1000, 1000]" in failed.stderr


def test_privileged_takes_nothing(mydocker: Launcher) -> None:
    script = (
        "grep -E '^Seccomp:' /proc/self/status | cut -f2;"
        "mount -t tmpfs x /mnt && echo mounted;"
        "grep -c ' /proc/' /proc/mounts;"
        "grep ' /sys ' /proc/mounts | cut -d' ' -f4 | cut -d, -f1;"
        "head -c 0 /dev/kmsg && echo opened"
    )
    done = mydocker(5, *RUN, "--privileged", "busybox", "sh", "-c", script, code=None)
    assert done.stdout.split() == ["0", "mounted", "0", "rw", "opened"]


def test_privileged_has_the_machines_devices(mydocker: Launcher) -> None:
    there = {
        entry.name
        for entry in os.scandir("/dev")
        if stat.S_ISCHR(entry.stat(follow_symlinks=False).st_mode) and entry.name != "console"
    }
    assert there <= set(shell(mydocker, "ls /dev", "--privileged"))

"""The first root of the VM: busybox, five modules and a script that mounts the real root.

Debian's own initrd carries udev and every driver there is; on an emulated processor it costs
seconds to unpack. Format: Documentation/driver-api/early-userspace/buffer-format.rst (newc).
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

# virtio disks to find the root, the serial port for the agent
MODULES = ("virtio_pci", "virtio_blk", "virtio_console", "ext4", "crc32c_generic")

# noinit_itable: else the kernel zeroes inode tables in the background of every run.
SCRIPT = """\
#!/bin/busybox sh
busybox=/bin/busybox
$busybox mount -t devtmpfs dev /dev
for module in /modules/*.ko; do $busybox insmod $module; done
tries=0
until [ -b /dev/vda ] || [ $tries = 100 ]; do $busybox sleep 0.1; tries=$((tries + 1)); done
$busybox mount -t ext4 -o noinit_itable /dev/vda /root
$busybox mount --move /dev /root/dev
exec $busybox switch_root /root /sbin/init
"""


def module_files(dependencies: str, wanted: tuple[str, ...] = MODULES) -> list[str]:
    """The files to load, in order, read from modules.dep(5); built-in ones are left out.

    A line: `kernel/drivers/block/virtio_blk.ko: kernel/drivers/virtio/virtio_ring.ko …`, where
    the last dependency has to be loaded first.
    """
    table = {}
    for line in dependencies.splitlines():
        file, _, needs = line.partition(":")
        table[Path(file).name.split(".")[0].replace("-", "_")] = [file, *needs.split()]
    ordered: dict[str, None] = {}
    for name in wanted:
        ordered.update(dict.fromkeys(reversed(table.get(name, []))))
    return list(ordered)


def archive(entries: list[tuple[str, int, bytes]]) -> bytes:
    """A cpio archive (newc) of (name, mode, content)."""
    parts = []
    for number, (name, mode, content) in enumerate([*entries, ("TRAILER!!!", 0, b"")], start=1):
        encoded = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(encoded), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        parts.append(_padded(header + encoded) + _padded(content))
    return b"".join(parts)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def build(root: Path, kernel: str) -> bytes:
    """The initrd for the kernel version `kernel` installed under `root`."""
    modules = root / "lib/modules" / kernel
    entries = [(name, stat.S_IFDIR | 0o755, b"") for name in ("bin", "dev", "modules", "root")]
    entries.append(("init", stat.S_IFREG | 0o755, SCRIPT.encode()))
    busybox = (root / "bin/busybox").read_bytes()
    entries.append(("bin/busybox", stat.S_IFREG | 0o755, busybox))
    files = module_files((modules / "modules.dep").read_text())
    for number, file in enumerate(files):  # the glob in the script sorts: the number keeps order
        content = (modules / file).read_bytes()
        name = f"modules/{number:02}-{os.path.basename(file)}"
        entries.append((name, stat.S_IFREG | 0o644, content))
    return archive(entries)

"""How much of the disk a directory takes, as du(1) tells it."""

import os
import stat


def disk_use(path: str) -> int:
    """The bytes that a directory takes on its disk; what is mounted in it does not count.

    A file with two names in it counts once. What vanishes meanwhile, or cannot be read, counts 0.
    """
    try:
        device = os.lstat(path).st_dev
    except OSError:
        return 0
    seen: set[int] = set()
    waiting, blocks = [path], 0
    while waiting:
        directory = waiting.pop()
        for name in _readable(directory):
            try:
                status = os.lstat(f"{directory}/{name}")
            except OSError:
                continue
            if status.st_dev != device or status.st_ino in seen:
                continue
            seen.add(status.st_ino)
            blocks += status.st_blocks
            if stat.S_ISDIR(status.st_mode):
                waiting.append(f"{directory}/{name}")
    return blocks * 512


def _readable(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []

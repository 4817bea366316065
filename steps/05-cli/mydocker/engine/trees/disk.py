"""How much of the disk a directory takes, as du(1) tells it."""

import os
import stat

from mydocker.kernel import beneath


def disk_use(path: str) -> int:
    """The bytes that a directory takes on its disk; what is mounted in it does not count.

    A file with two names in it counts once. What vanishes meanwhile, or cannot be read, counts 0.
    """
    try:
        top = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        return _blocks(top) * 512
    finally:
        os.close(top)


def _blocks(top: int) -> int:
    """By the descriptor of each directory: a container may exchange one for a link meanwhile."""
    device = os.fstat(top).st_dev
    seen: set[int] = set()
    waiting, blocks = [b""], 0
    while waiting:
        path = waiting.pop()
        try:
            fd = beneath.descend(top, path)
        except OSError:
            continue
        try:
            for name in map(os.fsencode, os.listdir(fd)):
                try:
                    status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                except OSError:
                    continue
                if status.st_dev != device or status.st_ino in seen:
                    continue
                seen.add(status.st_ino)
                blocks += status.st_blocks
                if stat.S_ISDIR(status.st_mode):
                    waiting.append(os.path.join(path, name))
        finally:
            os.close(fd)
    return blocks

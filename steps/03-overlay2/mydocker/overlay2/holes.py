"""Files written with holes where their data are zeros: they read the same, and take no room.

An archive of a sparse file has gigabytes of zeros in it, a layer above all, where the format has no
other way that everybody understands. A filesystem needs none of them (lseek(2), SEEK_HOLE).
"""

import errno
import os
from collections.abc import Iterator

_STEP = 1 << 16  # zeros are looked for in steps of 64 KiB: smaller holes save little
_ZEROS = bytes(_STEP)


def write(fd: int, data: bytes | memoryview) -> None:
    """Write all ``data`` at the file's position, but for long runs of zeros, which become holes."""
    view = memoryview(data)
    begun = 0
    for start in range(0, len(view), _STEP):
        step = view[start : start + _STEP]
        # Two bytes tell of most data that they are no zeros.
        if len(step) == _STEP and not step[0] and not step[-1] and step.tobytes() == _ZEROS:
            _write(fd, view[begun:start])
            begun = start + _STEP
            end = os.lseek(fd, _STEP, os.SEEK_CUR)
            os.ftruncate(fd, max(end, os.fstat(fd).st_size))  # the file may end with the hole
    _write(fd, view[begun:])


def _write(fd: int, data: memoryview) -> None:
    while data:
        data = data[os.write(fd, data) :]


def islands(file: int, size: int) -> Iterator[tuple[int, int]]:
    """``(offset, length)`` of what is not a hole (lseek(2), SEEK_DATA).

    Moves the file's position. A file that is cut meanwhile ends sooner.
    """
    end = 0
    while end < size:
        try:
            start = os.lseek(file, end, os.SEEK_DATA)
            end = min(os.lseek(file, start, os.SEEK_HOLE), size)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return  # nothing but a hole from here on
        if end > start:
            yield start, end - start

"""All open files of a process at once (close_range(2))."""

from mydocker.kernel import syscalls

_MOST = 1 << 20  # no process has more (fs.nr_open)


def close_all_but(*kept: int) -> None:
    """Close every descriptor but the standard ones and ``kept``, of which -1 is none.

    A pipe that we kept open would let `mydocker run -d … | cat` wait for our end.
    """
    first = 3
    for fd in sorted(kept):
        if fd > first:
            syscalls.close_range(first, fd - 1, 0)
        first = max(first, fd + 1)
    syscalls.close_range(first, _MOST, 0)

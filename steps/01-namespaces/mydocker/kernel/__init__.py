"""The doors to the kernel: every request that changes the machine passes through this package.

=================  =================================================================
``syscalls``       one thin function per system call, named as in its man page
``constants``      the numbers that these calls take, under the names of the headers
``files``          one ``write(2)`` to a file of the kernel; mkdir, rmdir and friends
``programs``       ``ip -batch`` and ``nft -f``: whole changes that a student can type
``trace``          each passage as an event; listeners; fault injection
``shell``          the same request as a line of shell (loaded only for ``--explain``)
``narrator``       ``--explain``: tells each event as it happens
``script``         ``--explain=script``: builds the same container with shell commands
``signals``        waits in which no signal is lost
``numbers``        numbers that somebody has written
``errors``         what the doors raise
=================  =================================================================
"""

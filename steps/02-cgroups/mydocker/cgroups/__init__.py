"""Control groups: what a container may use, and what it has used.

================  ===========================================================================
``hierarchy``     the machine's cgroup filesystems: v1, v2 or both; who sits where
``rules``         how hierarchies, groups, subsystems and tasks relate, checked on the machine
``controllers``   every subsystem: what it does, its files in v1 and v2, whether it is here
``limits``        limits as the reader says them (``300M``, ``0.5`` CPUs), checked
``settings``      a limit as the file and the value that v1, or v2, wants: pure data
``cgroup``        one group in every hierarchy: create, limit, join, remove
``freezer``       stop all processes of a group, let them go on, kill them
``devices``       which device nodes may be opened: a list in v1, an eBPF program in v2
``ebpf``          that program, assembled by hand
``oom``           whether the OOM killer came, and what to say of it
``statistics``    what a group has used, and how often a limit was hit
``part``          the group as a part of a container
``options``       the command line's options, and from them the part
``commands``      ``hierarchies``, ``tree``, ``create``, ``set``, ``get``, ``stats``, …
================  ===========================================================================

Documents of the kernel: Documentation/admin-guide/cgroup-v1/ and …/cgroup-v2.rst; cgroups(7).
"""

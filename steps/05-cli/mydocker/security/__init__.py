"""What a container may not do although its processes run as root (step 05).

Each module is one layer of the defence, and each layer is a part or two:

``capabilities``  which of root's powers are left                    capabilities(7)
``seccomp``       which system calls the kernel answers at all       seccomp(2)
``guard``         our own process on its way through the container   PR_SET_DUMPABLE, keyrings(7)
``ulimits``       what a single process may use                      getrlimit(2)
``sysctls``       switches of its own namespaces                     sysctl(2)
``devices``       the host's devices that it is given                mknod(2)

``settings`` holds what the user asked for, and ``assembly`` puts the parts into their order.
"""

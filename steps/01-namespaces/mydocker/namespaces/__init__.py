"""Step 01, namespaces: what a process sees of the machine.

``kinds`` names the eight kinds; ``parts`` are the parts of a container that each of them needs;
``users`` maps ids; ``options`` turns the command line into parts; ``survey`` finds the machine's
namespaces, ``joining`` enters those of a process.
"""

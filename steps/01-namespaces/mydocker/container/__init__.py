"""A container: a process and a stack of parts around it.

``parts`` says what a part is, ``running`` walks the parts through their four moments, ``child`` is
the container's side of it until the command takes over, ``channel`` is how the two sides speak,
``terminal`` joins the reader's terminal to the container's, ``init`` is the small first process of
``--init``, and ``leftovers`` finds and releases what a killed run left behind.
"""

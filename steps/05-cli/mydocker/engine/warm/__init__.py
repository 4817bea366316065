"""The warm process: the engine's door for programs with threads, which must not fork themselves.

A fork of a program with threads is a copy with one of them: a lock that another held stays locked
there for ever. So such a program has a process beside it that has one thread and the whole engine
imported, and forks a worker for each request (``process``). The program speaks with it from any of
its threads (``client``), in a few words (``messages``), about what stands in one table
(``operations``).
"""

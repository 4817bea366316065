"""Step 05, the engine: the life of containers as a library, which prints nothing."""

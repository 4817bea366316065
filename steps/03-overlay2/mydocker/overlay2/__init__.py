"""Step 03: the root directory of a container, stacked from layers."""

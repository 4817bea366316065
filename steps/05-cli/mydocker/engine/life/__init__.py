"""What can be done with a container: create, start, exec, stop, remove."""

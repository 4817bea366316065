"""What is written down of a container, and what is told of it."""

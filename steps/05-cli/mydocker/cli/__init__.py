"""Step 05, the command line: Docker's words over the engine, one module for each family of commands."""

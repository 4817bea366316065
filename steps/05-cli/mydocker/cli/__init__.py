"""Step 05, the command line: Docker's words over the engine, a module for each family."""

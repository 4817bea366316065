"""Step 08: an OCI runtime. A bundle in, a process out, by runc's command line."""

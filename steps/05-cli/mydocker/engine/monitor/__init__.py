"""Who stays beside a running container, and how one speaks with it."""

"""What is written by people and shown to them: filters, templates, times, sizes."""

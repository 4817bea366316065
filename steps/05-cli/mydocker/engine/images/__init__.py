"""Images made, taken apart and moved: commit, export, save, load, history."""

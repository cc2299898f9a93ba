"""Pages for a browser: one file each, which asks nothing of a network."""

"""The `export` program: a model in another format, and how far it is from its source."""

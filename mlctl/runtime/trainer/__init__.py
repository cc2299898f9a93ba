"""The `train` program: one process that prepares, watches and records, and ranks under it that compute."""

"""The spec of a monitor: one file for each part of the block."""

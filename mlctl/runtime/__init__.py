"""Beside the floors: worker programs with a process of their own. Nobody imports this package; it imports types, files and stats."""

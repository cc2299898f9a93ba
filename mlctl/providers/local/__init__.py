"""Kinds that need no tool but the machine itself: files as datasets, and runs on a schedule."""

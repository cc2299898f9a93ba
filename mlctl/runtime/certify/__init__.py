"""Synthetic streams through the design of an experiment: how often it says something false, and how often it finds what is there."""

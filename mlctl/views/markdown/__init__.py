"""Markdown for comments on merge requests: short, ranked, and safe whatever stands in a project."""

"""Datasets and models of the project's own, for what is neither a table nor text."""

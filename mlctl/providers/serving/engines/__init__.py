"""Engines of language models: what each is started with, what it needs, and the job that a server of one is told."""

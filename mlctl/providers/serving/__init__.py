"""Deployments: a model behind an HTTP server on this machine."""

"""Looks up what belongs to one request."""

"""Streams: events from a broker that keep the windows of a feature view fresh online."""

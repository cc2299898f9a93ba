"""Streaming: events from a broker, kept in a log of our own, and their windows kept fresh online by the code of the batch."""

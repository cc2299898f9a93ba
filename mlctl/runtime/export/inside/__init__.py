"""Programs that run in environments of engines: they know the engine and the standard library alone."""

"""Floor 3: start, find again and stop processes. Knows nothing of kinds or plans."""

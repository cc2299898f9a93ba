"""Floor 1: files that survive a kill (atomic writes, locks) and digests of their content. Knows nothing of resources."""

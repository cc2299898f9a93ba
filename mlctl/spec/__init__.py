"""Floor 4: from YAML text to a typed project, with a place in the file for everything that can be wrong."""

"""Floor 8: the command line. Each command is a file that reads options, calls the floors below, and shows what came of it."""

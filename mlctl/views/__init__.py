"""Floor 6: what a person or a program reads of a command. Values in, text out; no view decides anything."""

"""The typed parameters of each worker program, one file a program."""

"""The `experiment` program: who was shown what, what came of it, and what that decides."""

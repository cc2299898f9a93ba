"""The `evaluate` program: scores a candidate and the champion on the same rows, judges, and registers what passes."""

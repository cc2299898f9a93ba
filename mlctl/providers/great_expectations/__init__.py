"""Data checks: short rules that run in DuckDB, and any expectation of Great Expectations by its own name."""

"""Features: windows computed by DuckDB, declared and served through Feast, joined point in time."""

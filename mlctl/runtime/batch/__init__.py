"""The `batch` program: a model over the rows of a dataset, part by part, into Parquet files."""

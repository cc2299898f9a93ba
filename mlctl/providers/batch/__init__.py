"""Batch predictions: a model over the rows of a dataset, into Parquet files."""

"""Bring what is no local file beside the dataset's object: rows of databases as Parquet, objects of a bucket as they are."""

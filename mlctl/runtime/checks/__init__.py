"""The `checks` program: the verdict on a dataset."""

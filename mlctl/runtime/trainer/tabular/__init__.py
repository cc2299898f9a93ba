"""Rows of features and a target: joined, split, standardised, and the model that reads them."""

"""Explanations of some predictions, made beside a server: which feature pushed a score where, checked to add up to it."""

"""Kinds for randomised experiments (A/B tests)."""

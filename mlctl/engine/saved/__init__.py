"""Saved plans: a plan as one file that holds all it needs to be shown, explained, compared and applied later."""

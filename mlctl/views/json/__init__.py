"""JSON for other programs, with stable names."""

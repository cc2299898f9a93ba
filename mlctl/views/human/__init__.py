"""Text for a person at a terminal; legible without colour."""

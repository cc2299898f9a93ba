"""How far a project is on the field's scales, each step decided by evidence."""

"""Load tests of deployments."""

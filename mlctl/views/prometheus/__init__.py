"""Metrics in the text format of Prometheus: written, read, and looked over for what makes them dear or useless."""

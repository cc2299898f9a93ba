"""Deployments on a Kubernetes cluster: `kept` is what the kind uses; everything that is rendered is pure and held against schemas."""

"""The model server: a FastAPI program that lives on its own, started and replaced by `deployments`."""

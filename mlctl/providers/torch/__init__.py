"""PyTorch: training, alone or data-parallel, that survives a kill at any step."""

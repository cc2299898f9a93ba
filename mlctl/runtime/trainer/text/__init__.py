"""Language models: text becomes tokens, a base model is found, and what was trained becomes a model that others load."""

"""The engine `hf`: Transformers' Trainer, for language models, adapters and DeepSpeed."""

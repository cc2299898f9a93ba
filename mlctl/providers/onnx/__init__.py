"""Exports: models in formats of small machines, ONNX and GGUF, held against their source."""

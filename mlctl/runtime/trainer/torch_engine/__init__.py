"""The engine `torch`: a short loop of our own over plain PyTorch, for any module and every way to spread it."""

"""Methods that learn how features go together, and are bad at rows that go together otherwise: PCA and an autoencoder.

Each row has a reconstruction error. Those of the reference's rows that nothing was learnt from are frozen as a sketch; those of
a window are tested against them, as the numbers of any column are.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

_EXPLAINED = 0.65  # of the variance, by the components that are kept: NannyML's default
_SEED = 20_261_122
_EPOCHS, _BATCH, _RATE, _DECAY = 60, 128, 3e-3, 1e-5


def fit_pca(matrix: Any) -> dict[str, Any]:
    """The leading components of standardised rows, at least one and never all."""
    mean = matrix.mean(axis=0)
    _, lengths, components = np.linalg.svd(matrix - mean, full_matrices=False)
    explained = np.cumsum(lengths**2) / max(float((lengths**2).sum()), 1e-300)
    kept = min(max(int(np.searchsorted(explained, _EXPLAINED)) + 1, 1), max(len(lengths) - 1, 1))
    return {"pca.mean": mean, "pca.components": components[:kept]}


def pca_errors(tensors: Mapping[str, Any], matrix: Any) -> Any:
    """The distance of each row from what the components make of it."""
    centred = matrix - tensors["pca.mean"]
    components = tensors["pca.components"]
    return np.linalg.norm(centred - centred @ components.T @ components, axis=1)


def fit_autoencoder(matrix: Any) -> dict[str, Any]:
    """Weights of a small network that puts rows through a bottleneck. Seeded, and the same on every run of a machine."""
    import torch

    torch.manual_seed(_SEED)
    torch.set_num_threads(1)
    width = matrix.shape[1]
    hidden, neck = max(8, min(64, 2 * width)), max(1, width // 3)
    sizes = (width, hidden, neck, hidden, width)
    layers = [torch.nn.Linear(before, after) for before, after in pairwise(sizes)]
    network = torch.nn.Sequential(
        layers[0], torch.nn.Tanh(), layers[1], layers[2], torch.nn.Tanh(), layers[3]
    )  # as `autoencoder_errors` reads it
    rows = torch.from_numpy(matrix).float()
    optimizer = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=_DECAY)
    for _ in range(_EPOCHS):
        for chosen in torch.randperm(len(rows)).split(_BATCH):
            optimizer.zero_grad()
            loss = (network(rows[chosen]) - rows[chosen]).square().mean()
            loss.backward()
            optimizer.step()
    found: dict[str, Any] = {}
    for index, layer in enumerate(layers):
        found[f"autoencoder.{index}.weight"] = layer.weight.detach().numpy().astype(np.float64)
        found[f"autoencoder.{index}.bias"] = layer.bias.detach().numpy().astype(np.float64)
    return found


def autoencoder_errors(tensors: Mapping[str, Any], matrix: Any) -> Any:
    """The distance of each row from what the network makes of it. In numpy: a run needs no torch."""
    signal = matrix
    for index in range(4):
        signal = signal @ tensors[f"autoencoder.{index}.weight"].T + tensors[f"autoencoder.{index}.bias"]
        if index in (0, 2):
            signal = np.tanh(signal)
    return np.linalg.norm(matrix - signal, axis=1)


FITS = {"pca": fit_pca, "autoencoder": fit_autoencoder}
ERRORS = {"pca": pca_errors, "autoencoder": autoencoder_errors}

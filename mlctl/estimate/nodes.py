"""What clusters and batch systems say of their machines: amounts of memory, and GPUs by the labels of nodes."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mlctl.estimate.devices import Device, named, recognized
from mlctl.estimate.prices import Tier

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGTkmgt]?)(i?)[bB]?\+?")
_ALTERNATIVES = re.compile(r"[&|,()\[\]]")  # of a constraint on nodes
_OWN_INFRA = ("k8s", "kubernetes", "ssh", "slurm")
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
# Labels of nodes that say which GPU they have, and those that say how a cloud sells them.
_PRODUCT = ("nvidia.com/gpu.product", "cloud.google.com/gke-accelerator", "k8s.amazonaws.com/accelerator")
# Labels of nodes that give out parts or shares of their GPUs.
_PARTS = (
    "nvidia.com/mig.config",
    "cloud.google.com/gke-gpu-partition-size",
    "cloud.google.com/gke-gpu-sharing-strategy",
)
_SPOT = {
    "karpenter.sh/capacity-type": "spot",
    "eks.amazonaws.com/capacityType": "spot",
    "cloud.google.com/gke-spot": "true",
    "kubernetes.azure.com/scalesetpriority": "spot",
}
_ON_DEMAND = {"karpenter.sh/capacity-type": "on-demand", "eks.amazonaws.com/capacityType": "on_demand"}


def selected(selector: Mapping[str, str]) -> Device | None:
    """The GPU of nodes with these labels, one of it; None where they do not say, name one that is not known, or give out parts."""
    if any(selector.get(label, "") not in ("", "all-disabled") for label in _PARTS):
        return None
    texts = [selector[label] for label in _PRODUCT if label in selector]
    return next((found for text in texts if (found := named(_short(text)) or recognized(text)) is not None), None)


def constrained(constraint: str | None) -> Device | None:
    """The GPU that a constraint of Slurm on nodes names, such as `a100&ib`, one of it; None where it names none that is known."""
    parts = _ALTERNATIVES.split(constraint or "")
    return next((found for part in parts if (found := named(part)) is not None), None)


def own_cluster(infra: str | None) -> bool:
    """Whether SkyPilot is told to use machines that there are already, which nobody rents for it."""
    return (infra or "").startswith(_OWN_INFRA)


def _short(product: str) -> str:
    """`NVIDIA-A100-SXM4-80GB` and `nvidia-tesla-t4` without the maker."""
    return re.sub(r"^nvidia-", "", product.strip(), flags=re.IGNORECASE)


def tier_of(selector: Mapping[str, str]) -> Tier:
    """How nodes with these labels are paid for. A cluster whose labels do not say is its owner's: mlctl does not rent it."""
    if any(selector.get(label, "").lower() == value for label, value in _SPOT.items()):
        return "spot"
    if any(selector.get(label, "").lower() == value for label, value in _ON_DEMAND.items()):
        return "on_demand"
    return "owned"


def size(text: object, *, mebi: bool = False, gibi: bool = False) -> float | None:
    """Bytes of `16Gi`, `16G`, `16+`; a number without a unit is MiB for Slurm and GiB for SkyPilot. None for anything else."""
    match = _SIZE.fullmatch(str(text).strip()) if text is not None else None
    if match is None:
        return None
    unit = match[2].lower() or ("m" if mebi else "g" if gibi else "")
    decimal = bool(match[2]) and not match[3] and not mebi and not gibi
    factor: float = (1000.0 if decimal else 1024.0) ** _POWERS[unit]
    return float(match[1]) * factor

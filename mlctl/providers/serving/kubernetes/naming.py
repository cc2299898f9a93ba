"""What objects of a deployment are called in a cluster, and the marks by which they are known to be ours. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlctl.types.address import Address
from mlctl.types.value import digest

MANAGER = "mlctl"
LINEAGE, DEPLOYMENT, REVISION = "mlctl.io/lineage", "mlctl.io/deployment", "mlctl.io/revision"  # labels
ADDRESS, ROUTES = "mlctl.io/address", "mlctl.io/routes"  # annotations
PART = "app.kubernetes.io/part-of"

_NAME_LENGTH = 40  # with a revision and what Kubernetes adds to names of pods, below its 63
_LABEL_LENGTH = 63
_KEPT = "-_."


@dataclass(frozen=True, slots=True)
class Owner:
    """One deployment in one namespace: the name that all names begin with, and whose it is."""

    name: str
    namespace: str
    lineage: str
    address: str

    @property
    def mark(self) -> dict[str, str]:
        """The labels by which everything of ours is found, and nothing else."""
        return {LINEAGE: self.lineage, DEPLOYMENT: self.name}

    @property
    def selector(self) -> str:
        """The same as kubectl takes it."""
        return ",".join(f"{name}={value}" for name, value in sorted(self.mark.items()))

    def metadata(self, name: str, revision: str = "", annotations: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Of one object."""
        labels = {"app.kubernetes.io/managed-by": MANAGER, PART: self.name, **self.mark}
        if revision:
            labels[REVISION] = revision
        return {
            "name": name,
            "namespace": self.namespace,
            "labels": dict(sorted(labels.items())),
            "annotations": {ADDRESS: self.address, **dict(sorted((annotations or {}).items()))},
        }

    def pods(self, revision: str) -> dict[str, str]:
        """The labels that select the pods of a revision."""
        return {DEPLOYMENT: self.name, REVISION: revision}

    def of(self, revision: str) -> str:
        """The name of the objects of a revision."""
        return f"{self.name}-{revision}"


def owner(address: Address, namespace: str, lineage: str) -> Owner:
    """The owner of a deployment's objects. Two addresses never get one name."""
    plain = str(address.name).lower()
    kept = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in plain).strip("-")
    name = kept[:_NAME_LENGTH].strip("-")
    if name != str(address.name) or not name[0].isalpha():  # a name in Kubernetes begins with a letter
        name = f"{'m-' if not name[:1].isalpha() else ''}{name}-{digest(str(address))[:4]}"
    return Owner(name, namespace, label(lineage), str(address))


def revision_name(content: str) -> str:
    """A digest, short enough to be part of names."""
    return content[:8]


def label(text: str) -> str:
    """What of a text may stand in the value of a label."""
    kept = "".join(letter if letter.isascii() and (letter.isalnum() or letter in _KEPT) else "-" for letter in text)
    return kept[:_LABEL_LENGTH].strip(_KEPT)

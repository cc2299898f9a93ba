"""What of an object in a cluster is not as we declared it. A cluster adds fields of its own; those are not ours to judge. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

DIGEST = (
    "mlctl.io/declared"  # annotation: the digest of what was declared, to see fields that are not declared any more
)

_UNITS = {
    "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50,
}  # fmt: skip
_AMOUNTS = frozenset({"requests", "limits"})  # maps whose values are amounts
_SIZE = "sizeLimit"  # of a volume, an amount too
_PARTS = ("spec", "data")


class Difference(NamedTuple):
    """One field: where it is, what is declared, and what is there."""

    path: str
    declared: Any
    there: Any

    def __str__(self) -> str:
        return f"{self.path} is {_shown(self.there)} and should be {_shown(self.declared)}"


def differences(declared: Mapping[str, Any], there: Mapping[str, Any]) -> list[Difference]:
    """Every field of ours that another has changed or removed."""
    found = [item for part in _PARTS if part in declared for item in _each(part, declared[part], there.get(part))]
    for part in ("labels", "annotations"):
        marks = there["metadata"].get(part) or {}
        for name, value in declared["metadata"].get(part, {}).items():
            if name != DIGEST and marks.get(name) != value:
                found.append(Difference(f"metadata.{part}[{name}]", value, marks.get(name)))
    return found


def current(declared: Mapping[str, Any], there: Mapping[str, Any]) -> bool:
    """Whether an object need not be declared again."""
    marks = there["metadata"].get("annotations") or {}
    return marks.get(DIGEST) == declared["metadata"]["annotations"][DIGEST] and not differences(declared, there)


def _each(path: str, declared: Any, there: Any) -> Iterator[Difference]:
    if isinstance(declared, Mapping):
        for name, value in declared.items():
            inner = there.get(name) if isinstance(there, Mapping) else None
            if path.rpartition(".")[2] in _AMOUNTS or name == _SIZE:
                if _amount(value) != _amount(inner):
                    yield Difference(f"{path}.{name}", value, inner)
            else:
                yield from _each(f"{path}.{name}", value, inner)
    elif isinstance(declared, list):
        others = there if isinstance(there, list) else []
        if len(declared) != len(others):
            yield Difference(path, declared, there)
            return
        for place, (value, inner) in enumerate(zip(declared, others, strict=True)):
            yield from _each(f"{path}[{place}]", value, inner)
    elif declared != there and not (declared in ({}, "", None) and there is None):
        yield Difference(path, declared, there)


def _amount(text: Any) -> Any:
    """A quantity as a number: a cluster writes `0.5` as `500m`."""
    try:
        for unit in sorted(_UNITS, key=len, reverse=True):
            if str(text).endswith(unit):
                return round(float(str(text)[: -len(unit)]) * _UNITS[unit], 6)
        return float(text)
    except (TypeError, ValueError):
        return text


def _shown(value: Any) -> str:
    text = "not there" if value is None else repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."

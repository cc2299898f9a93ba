"""What a budget is held against: a line for each thing that costs."""

from __future__ import annotations

from dataclasses import dataclass

from mlctl.types.estimate import Estimate


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that costs. `there`: it lasts, and stays on the devices that it has. `over`: it is made, by this apply or by one that
    this one goes on with."""

    address: str
    estimate: Estimate
    there: bool = False
    over: bool = False

    @classmethod
    def of(cls, address: str, estimate: Estimate, *, there: bool = False) -> Line:
        """A line of all that a thing takes: what is foreseen, and what earlier lives of it took already."""
        return cls(address, estimate.whole, there)

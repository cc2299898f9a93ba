"""One thing that a mature project does, how to see that it does, and the command that gets it there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mlctl.audit.case import Case, Subject


@dataclass(frozen=True, slots=True)
class Seen:
    """What there is to see of a check."""

    passed: bool
    evidence: str


@dataclass(frozen=True, slots=True)
class Check:
    """`look` is None for what no figure can show, and only a person can vouch for."""

    name: str
    says: str
    command: str
    look: Callable[[Case], Seen] | None = None


def every(subjects: Iterable[Subject], holds: Callable[[Subject], bool], what: str) -> Seen:
    """Whether something holds for each of some resources, of which there has to be one."""
    found = list(subjects)
    failing = [str(item.address) for item in found if not holds(item)]
    if not found:
        return Seen(False, f"{what}: none")
    return Seen(
        not failing, f"{what}: not {', '.join(failing)}" if failing else f"{what}: {len(found)} of {len(found)}"
    )


def some(subjects: Iterable[Subject], holds: Callable[[Subject], bool], what: str) -> Seen:
    """Whether something holds for at least one resource."""
    found = [str(item.address) for item in subjects if holds(item)]
    return Seen(bool(found), f"{what}: {', '.join(found) or 'none'}")

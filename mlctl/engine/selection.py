"""Which addresses a plan is about: all of the project, or those that were named and what belongs to them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from mlctl.engine.ledger import Ledger
from mlctl.spec.project import Project
from mlctl.types.address import Address
from mlctl.types.change import Selection
from mlctl.types.diagnostic import Diagnostic, MlctlError, did_you_mean


@dataclass(frozen=True, slots=True)
class Scope:
    """What a plan looks at: resources of the project, what is to be made anew, and what the project has no more."""

    chosen: frozenset[Address]
    replace: frozenset[Address]
    gone: frozenset[Address]


def scope(project: Project, ledger: Ledger, selection: Selection) -> Scope:
    """The addresses of a selection. Raises MlctlError for names that nothing has and for choices that contradict each other.

    Targets bring what they depend on with them; an excluded address takes along what depends on it.
    """
    stored = set(ledger.addresses())
    known = project.resources.keys() | stored
    targets = named(selection.targets, known)
    excluded = named(selection.exclude, known)
    anew = named(selection.replace, project.resources.keys())
    left_out = downstream(project, excluded & project.resources.keys()) | excluded
    chosen = closure(project, targets & project.resources.keys()) if selection.targets else set(project.resources)
    _refuse_contradictions(targets & left_out, anew - (chosen - left_out))
    gone = (targets if selection.targets else stored) - project.resources.keys() - excluded
    return Scope(frozenset(chosen - left_out), frozenset(anew), frozenset(gone & stored))


def named(wanted: Iterable[Address], known: Collection[Address]) -> set[Address]:
    """The known addresses that names mean: a block means its instances. Raises MlctlError with all that mean nothing."""
    found: set[Address] = set()
    unknown = []
    for address in sorted(set(wanted)):
        covered = {address} if address in known else {other for other in known if address.covers(other)}
        if not covered:
            unknown.append(address)
        found |= covered
    if unknown:
        names = [str(address) for address in known]
        raise MlctlError(
            [
                Diagnostic(
                    "plan.unknown-target",
                    f"there is no `{address}`",
                    "a target names a resource of the project, or an object in the state, by its address",
                    did_you_mean(str(address), names),
                )
                for address in unknown
            ]
        )
    return found


def closure(project: Project, targets: Collection[Address]) -> set[Address]:
    """The targets and everything they depend on."""
    found: set[Address] = set()
    waiting = list(targets)
    while waiting:
        address = waiting.pop()
        if address not in found:
            found.add(address)
            waiting.extend(project.edges[address])
    return found


def downstream(project: Project, addresses: Collection[Address]) -> set[Address]:
    """Addresses and everything that depends on them. Raises MlctlError for names that are not in the project."""
    found = named(addresses, project.resources.keys())
    for address in project.order if found else ():
        if found & project.edges[address].keys():
            found.add(address)
    return found


def _refuse_contradictions(both: Collection[Address], unplanned: Collection[Address]) -> None:
    problems = [
        Diagnostic(
            "plan.contradiction",
            f"`{address}` is a target, and is left out as well",
            "`--exclude` also leaves out what depends on the address it names",
            "take it out of one of the two",
        )
        for address in sorted(both)
    ]
    problems += [
        Diagnostic(
            "plan.contradiction",
            f"`{address}` is to be made anew, and is not part of this plan",
            "`--target` and `--exclude` leave it out",
            "add it to the targets, or take it out of `--replace`",
        )
        for address in sorted(unplanned)
    ]
    if problems:
        raise MlctlError(problems)

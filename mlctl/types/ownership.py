"""What is told about things in a tool that are not this project's: whose they are, and how they become ours."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping

from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.tracking import ADDRESS_TAG, LINEAGE_TAG, OBJECT_TAG

ADOPTED_TAG = "mlctl.adopted"  # beside our mark on what was there before us: it is given back and never deleted


def import_command(address: str, id: str) -> str:
    """The command that takes an existing object over, as a shell takes it."""
    return f"mlctl import {shlex.quote(address)} {shlex.quote(id)}"


def owner_of(tags: Mapping[str, str]) -> str:
    """Whose a thing is, by its tags."""
    lineage = tags.get(LINEAGE_TAG)
    if lineage is None:
        return (
            "it carries no mark of mlctl, so a person or another program made it, and what others made is never changed"
        )
    named = tags.get(ADDRESS_TAG) or tags.get(OBJECT_TAG, "").partition("#")[0]
    which = f", where it is {named}" if named else ""
    return f"it carries the mark of another state (`{LINEAGE_TAG}` {lineage}{which}), and what others made is never changed"


def not_ours(what: str, tags: Mapping[str, str], address: str, id: str, otherwise: str) -> MlctlError:
    """The refusal to touch something: whose it is, how to take it over, and what to do otherwise."""
    line = import_command(address, id)
    first = f"take it over with `{line}`"
    if LINEAGE_TAG in tags:  # taking it over needs its owner's word first
        first = f"if that state is lost, remove the tag `{LINEAGE_TAG}` from it and run `{line}`"
    return MlctlError.of(
        "provider.not-ours",
        f"{what} was not made by this project",
        owner_of(tags),
        f"{first}, or {otherwise}",
        address=address,
    )


def marked_by_another(what: str, tags: Mapping[str, str], address: str) -> MlctlError:
    """The refusal to take over what has an owner."""
    return MlctlError.of(
        "import.owned",
        f"{what} belongs to another state",
        owner_of(tags),
        f"let its owner give it up (`mlctl destroy` there), or, if that state is lost, remove the tag `{LINEAGE_TAG}` from it",
        address=address,
    )


def differs(what: str, address: str, differences: Iterable[tuple[str, object, object]]) -> MlctlError:
    """The refusal to take over what is not what the project asks for: each field, what is there, and what is asked for."""
    found = list(differences)
    fields = ", ".join(f"`{name}`" for name, _, _ in found)
    why = "\n".join(
        f"{name}: it has {_shown(there)}, the project asks for {_shown(asked)}" for name, there, asked in found
    )
    return MlctlError.of(
        "import.differs",
        f"{what} is not what {address} asks for: {fields}",
        why,
        "write the block as the object is, import it, and change it after that",
        address=address,
    )


def not_found(what: str, why: str, address: str, fix: str) -> MlctlError:
    """There is nothing to take over."""
    return MlctlError.of("import.not-found", f"there is no {what}", why, fix, address=address)


def _shown(value: object) -> str:
    return "nothing" if value is None else repr(value)

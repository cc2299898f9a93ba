"""The file of a saved plan: one JSON object with its own digest, so that what is applied is what was reviewed."""

from __future__ import annotations

import importlib.metadata
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mlctl import __version__
from mlctl.engine import priced, provenance
from mlctl.engine.ledger import Ledger
from mlctl.engine.saved import codec
from mlctl.estimate.prices import Prices
from mlctl.files import atomic
from mlctl.spec.project import Project
from mlctl.types.address import Address, ObjectKey
from mlctl.types.change import Plan
from mlctl.types.diagnostic import Diagnostic, ExitCode, MlctlError
from mlctl.types.secret import Secrets
from mlctl.types.state import Record
from mlctl.types.value import Json, digest

FORMAT = 1
_FILE_DIGEST = "digest"
_TYPE = "mlctl-plan"


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """A plan with the configuration it was made from and the state it was made against. `digest` is that of all the rest."""

    operation: str  # the command that would carry it out: apply, destroy, retrain, rollback, promote
    plan: Plan
    project: str
    file: str  # the project file, relative to the root
    texts: Mapping[str, str]
    values: Mapping[str, Json]
    secrets: Mapping[str, str]  # the names of sensitive values, and their keyed digests
    records: Mapping[str, str]  # the objects that the plan touches or builds on, and the digests of their records
    versions: Mapping[str, str]
    mlctl: str
    at: str
    who: str
    git: Mapping[str, Json] = field(default_factory=dict)
    extra: Mapping[str, Json] = field(
        default_factory=dict
    )  # what only one operation needs, such as where a promotion comes from
    prices: Mapping[str, Json] = field(default_factory=dict)  # that it was made with; nothing where none was asked for
    told: tuple[Diagnostic, ...] = ()  # the warnings of policies and the budget, for whoever reviews it

    @property
    def digest(self) -> str:
        """What the file is known by."""
        return digest(_content(self))


def save(
    operation: str,
    plan: Plan,
    project: Project,
    ledger: Ledger,
    secrets: Secrets,
    extra: Mapping[str, Json] | None = None,
    prices: Prices | None = None,
) -> SavedPlan:
    """A plan that was just made, with all that it takes to apply it later, `prices` given on the command line among it."""
    facts = provenance.of(project.root)
    if plan.serial == 0:
        plan = replace(plan, lineage="")  # a state that is still to be born has no name yet
    main = next(iter(project.texts), "")
    return SavedPlan(
        operation=operation,
        plan=plan,
        project=project.name,
        file=main,
        texts=dict(project.texts),
        values=dict(project.values),
        secrets={name: secrets.digest(value) for name, value in sorted(secrets.values.items())},
        records=touched(plan, project, ledger),
        versions=_versions(project, plan),
        mlctl=__version__,
        at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        who=facts["by"],
        git=facts.get("git", {}),
        extra=dict(extra or {}),
        prices=priced.stored(plan, prices),
    )


def touched(plan: Plan, project: Project, ledger: Ledger) -> dict[str, str]:
    """The records of every address that the plan changes and of what it directly depends on, by digest."""
    addresses = {change.address for change in plan if change.effective}
    addresses |= {found for address in list(addresses) for found in project.edges.get(address, ())}
    records = {record.key: record for address in addresses for record in ledger.at(address)}
    for record in list(records.values()):
        for use in record.uses:
            if (used := ledger.get(use.key)) is not None:
                records[used.key] = used
    return {str(key): record_digest(record) for key, record in sorted(records.items())}


def record_digest(record: Record) -> str:
    """What tells that a record is not the one it was. Its place in the order of choice does not matter."""
    return digest({name: value for name, value in record.to_json().items() if name != "sequence"})


def write(path: Path, saved: SavedPlan) -> None:
    """Put a plan into a file, readable for its owner alone, in the place of an older plan perhaps. Raises MlctlError."""
    if path.exists() and not _is_plan(path):
        raise MlctlError.of(
            "plan.not-a-plan",
            f"`{path}` exists and is no saved plan",
            "mlctl overwrites only what it wrote",
            "choose another name, or remove it",
        )
    try:
        atomic.write_json(path, {**_content(saved), _FILE_DIGEST: saved.digest})
    except OSError as error:
        raise MlctlError.of(
            "plan.cannot-write", f"the plan cannot be written to `{path}`: {error.strerror}", "", "choose another place"
        ) from error


def read(path: Path) -> SavedPlan:
    """Read a saved plan. Raises MlctlError: `plan.unreadable`, `plan.newer`, `plan.edited`, `plan.damaged`."""
    try:
        stored = json.loads(path.read_bytes())
        made_by, form = stored["mlctl"], stored["format"]
        if not isinstance(form, int) or not isinstance(made_by, str):
            raise TypeError("its format is not a number")
    except OSError as error:
        raise _unreadable(path, str(error.strerror)) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _unreadable(path, f"it is no saved plan ({type(error).__name__}: {error})") from error
    if form > FORMAT or _major(made_by) != _major(__version__):
        raise MlctlError.of(
            "plan.newer",
            f"`{path}` was saved by mlctl {made_by} in format {form}",
            f"this is mlctl {__version__}, which reads format {FORMAT} of its own major version",
            "apply it with the mlctl that saved it, or make the plan again with `mlctl plan --out`",
            exit_code=ExitCode.STALE_PLAN,
        )
    if not _sealed(stored):
        raise MlctlError.of(
            "plan.edited",
            f"`{path}` is not as mlctl saved it",
            "its content does not have the digest that stands in it, so it was edited or damaged after it was made",
            "make the plan again with `mlctl plan --out`; to change it, change the project",
            exit_code=ExitCode.STALE_PLAN,
        )
    from mlctl.engine.saved import shape  # only a plan that is read needs its types

    try:
        shape.check(stored)
        return _parsed(stored)
    except (KeyError, TypeError, ValueError) as error:
        raise MlctlError.of(
            "plan.damaged",
            f"`{path}` holds what no plan of mlctl has in it",
            f"{error if isinstance(error, ValueError) else f'{type(error).__name__}: {error}'}; its digest fits, so it was not mlctl that wrote it",
            "make the plan again with `mlctl plan --out`",
            exit_code=ExitCode.STALE_PLAN,
        ) from error


def _sealed(stored: Mapping[str, Any]) -> bool:
    """Whether a file has the digest of what stands in it; what JSON cannot hold, such as NaN, has none."""
    try:
        return bool(
            digest({name: value for name, value in stored.items() if name != _FILE_DIGEST}) == stored[_FILE_DIGEST]
        )
    except (KeyError, ValueError, RecursionError):
        return False


def _is_plan(path: Path) -> bool:
    """Whether a file is a plan, of whatever format and condition."""
    try:
        return bool(json.loads(path.read_bytes())["type"] == _TYPE)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _content(saved: SavedPlan) -> dict[str, Any]:
    return {
        "type": _TYPE,
        "format": FORMAT,
        "mlctl": saved.mlctl,
        "operation": saved.operation,
        "plan": codec.plan_json(saved.plan),
        "project": saved.project,
        "file": saved.file,
        "texts": dict(saved.texts),
        "values": dict(saved.values),
        "secrets": dict(saved.secrets),
        "records": dict(saved.records),
        "versions": dict(saved.versions),
        "at": saved.at,
        "who": saved.who,
        "git": dict(saved.git),
        "extra": dict(saved.extra),
        **({"prices": dict(saved.prices)} if saved.prices else {}),
        **({"told": [codec.told_json(item) for item in saved.told]} if saved.told else {}),
    }


def _parsed(stored: Mapping[str, Any]) -> SavedPlan:
    """Read the stored form. Raises KeyError, TypeError or ValueError when it is not one."""
    for key in stored["records"]:
        ObjectKey.parse(key)
    for name in (*stored["extra"].get("pins", ()), *stored["extra"].get("imports", ())):
        Address.parse(name)
    names = (
        "operation",
        "project",
        "file",
        "texts",
        "values",
        "secrets",
        "records",
        "versions",
        "mlctl",
        "at",
        "who",
        "git",
        "extra",
    )
    prices, told = stored.get("prices", {}), tuple(codec.told_of(item) for item in stored.get("told", ()))
    return SavedPlan(
        plan=codec.plan_of(stored["plan"]), prices=prices, told=told, **{name: stored[name] for name in names}
    )


def _versions(project: Project, plan: Plan) -> dict[str, str]:
    """The installed versions of the packages that the kinds of a plan's resources drive. Nothing of them is imported."""
    sections = {change.address.section for change in plan}
    rooms = {
        tuple(type(resource.kind).__module__.split("."))
        for resource in project.resources.values()
        if resource.address.section in sections
    }
    ours = ("mlctl", "providers")  # below it, the room of a provider is called as the package it drives
    return dict(_installed({room[2] if room[:2] == ours and len(room) > 2 else room[0] for room in rooms}))


def _installed(names: Iterable[str]) -> Iterable[tuple[str, str]]:
    for name in sorted(names):
        try:
            yield name, importlib.metadata.version(name.replace("_", "-"))
        except importlib.metadata.PackageNotFoundError:
            continue  # a room of our own, such as `local`, is no package


def _major(version: str) -> str:
    return version.split(".")[0]


def _unreadable(path: Path, why: str) -> MlctlError:
    return MlctlError.of(
        "plan.unreadable",
        f"`{path}` cannot be read as a saved plan",
        why,
        "give a file that `mlctl plan --out FILE` wrote",
    )

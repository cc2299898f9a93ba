"""What an audit looks at: the project as it is written, what was made of it, and the ledger of decisions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from mlctl.audit.settings import AuditSettings
from mlctl.files import atomic
from mlctl.spec.model import Project
from mlctl.types.address import Address
from mlctl.types.decision import Decision
from mlctl.types.state import Record


@dataclass(frozen=True)
class Subject:
    """One resource: what its block says, defaults filled in, and the object made of it, if there is one."""

    address: Address
    values: Mapping[str, Any]
    record: Record | None

    def get(self, path: str) -> Any:
        """A field by its dotted path; None where there is no such field."""
        return reach(self.values, path)

    def output(self, path: str) -> Any:
        """An output of the object by its dotted path; None where it was never made."""
        return None if self.record is None else reach(self.record.outputs, path)

    @property
    def evidence(self) -> str:
        """How its object is named in evidence."""
        return f"{self.address} in the state"


@dataclass(frozen=True)
class Case:
    """All of it. Nothing here is written, and no tool is asked."""

    project: Project
    records: Mapping[str, Record]
    decisions: tuple[Decision, ...]
    root: Path
    now: datetime

    @cached_property
    def settings(self) -> AuditSettings:
        """The project's `audit` block."""
        return AuditSettings.model_validate(self.project.settings.get("audit", {}))

    @cached_property
    def subjects(self) -> Mapping[Address, Subject]:
        """Every resource by its address."""
        return {
            address: Subject(
                address, resource.spec.model_dump(mode="json", by_alias=True), self.records.get(str(address))
            )
            for address, resource in self.project.resources.items()
        }

    def all(self, section: str) -> list[Subject]:
        """The resources of a section."""
        return [subject for address, subject in self.subjects.items() if address.section == section]

    def uses(self, subject: Subject, section: str) -> list[Subject]:
        """The resources of a section that this one is made of."""
        edges = self.project.edges.get(subject.address, {})
        return [self.subjects[other] for other in edges if other.section == section and other in self.subjects]

    def users(self, subject: Subject, section: str) -> list[Subject]:
        """The resources of a section that are made of this one."""
        return [other for other in self.all(section) if subject in self.uses(other, other_section(subject))]

    def trainings(self, deployment: Subject) -> list[Subject]:
        """The trainings whose models a deployment may serve: those behind its evaluations."""
        return [made for gate in self.uses(deployment, "evaluations") for made in self.uses(gate, "training")]

    def checked(self, address: Address, what: str) -> Decision | None:
        """The last time that somebody had something checked, such as `parity` or `kill-test`."""
        found = (
            item
            for item in reversed(self.decisions)
            if item.kind == "check" and item.address == str(address) and item.inputs.get("check") == what
        )
        return next(found, None)

    def last(self, kind: str, address: Address, *verdicts: str) -> Decision | None:
        """The last decision of a kind about a resource, or the last one that came out so."""
        found = (
            item
            for item in reversed(self.decisions)
            if item.kind == kind and item.address == str(address) and (not verdicts or item.verdict in verdicts)
        )
        return next(found, None)

    def document(self, text: object) -> Mapping[str, Any]:
        """A JSON file of the project that an output names; empty when it is gone or is none."""
        return atomic.read_object(self.root / str(text)) or {}

    def provenance(self, training: Subject) -> Mapping[str, Any]:
        """What a training wrote down of what it was made of; empty when it was never made."""
        model = training.output("model")
        return self.document(Path(model).parent / "provenance.json") if isinstance(model, str) else {}

    def days_since(self, moment: str) -> float:
        """Days from a moment in ISO 8601 to now."""
        then = datetime.fromisoformat(moment)
        return (self.now - (then if then.tzinfo else then.replace(tzinfo=UTC))).total_seconds() / 86400


def reach(values: Any, path: str) -> Any:
    """A value in nested mappings by its dotted path; None where the path ends early."""
    for part in path.split("."):
        if not isinstance(values, Mapping):
            return None
        values = values.get(part)
    return values


def other_section(subject: Subject) -> str:
    """The section of a resource."""
    return subject.address.section


def live(case: Case) -> Iterator[Subject]:
    """Deployments that were made and not given up: those somebody may be asking now."""
    return (item for item in case.all("deployments") if item.output("version") is not None)

"""What a policy sees: a project, its plan and its state as one JSON document. Its shape is public: docs/guides/policies.md."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from mlctl.engine.ledger import Ledger
from mlctl.provider import judges
from mlctl.spec.project import Project, Resource
from mlctl.types.address import Address
from mlctl.types.change import Change, EdgeKind, Plan
from mlctl.types.secret import redacted
from mlctl.types.state import Gate, Record
from mlctl.types.value import Unknown

_BEFORE = (EdgeKind.INPUT, EdgeKind.GATE)


def document(plan: Plan, project: Project, ledger: Ledger, environment: str, today: date) -> dict[str, Any]:
    """The whole document. Nothing in it is a secret."""
    gates = _gates(project)
    effective = [change for change in plan.changes if change.effective]
    resources = [_resource(resource, gates, project, ledger) for resource in project.resources.values()]
    known = {item["address"]: item for item in resources}
    found: dict[str, Any] = redacted(
        {
            "project": project.name,
            "environment": environment,
            "mode": plan.selection.mode.value,
            "today": today.isoformat(),
            "weekday": today.strftime("%A").lower(),
            "summary": plan.summary(),
            "changes": [_change(change, known.get(str(change.address)), ledger) for change in effective],
            "resources": resources,
        }
    )
    return found


def _resource(
    resource: Resource, gates: Mapping[Address, frozenset[Address]], project: Project, ledger: Ledger
) -> dict[str, Any]:
    address, record = resource.address, ledger.made(resource.address)
    return {
        "address": str(address),
        "section": address.section,
        "name": address.name,
        "owner": resource.spec.owner,
        "tags": dict(resource.spec.tags),
        "spec": resource.spec.model_dump(mode="json"),
        "made": record is not None,
        "gate": None if record is None or record.gate is None else _gate(record.gate),
        "uses": sorted(str(found) for found, kinds in project.edges[address].items() if EdgeKind.INPUT in kinds),
        "gates": sorted(map(str, gates[address])),
    }


def _gate(gate: Gate) -> dict[str, Any]:
    return {"passed": gate.passed, "approved": gate.approval is not None, "summary": gate.summary}


def _gates(project: Project) -> dict[Address, frozenset[Address]]:
    """For each resource, every gate that stands in front of it: in what it uses, in what that uses, and so on."""
    found: dict[Address, frozenset[Address]] = {}
    for address in project.order:
        before = [used for used, kinds in project.edges[address].items() if kinds & {*_BEFORE}]
        here = {used for used in before if judges(project.resources[used].kind)}
        found[address] = frozenset(here).union(*(found[used] for used in before))
    return found


def _change(change: Change, resource: Mapping[str, Any] | None, ledger: Ledger) -> dict[str, Any]:
    """One step of the plan. What is no longer in the project is described by what the state knows of it."""
    record = ledger.get(change.key)
    described = resource if resource is not None else _recorded(record)
    return {
        "address": str(change.address),
        "section": change.address.section,
        "name": change.address.name,
        "action": change.action.value,
        "reason": change.reason.value,
        "class": None if change.field_class is None else change.field_class.value,
        "fields": [item.path for item in change.fields],
        "conditional": change.conditional,
        "drift": change.drift,
        "blocked_by": None if change.blocked_by is None else str(change.blocked_by),
        "owner": described["owner"],
        "tags": described["tags"],
        "spec": described["spec"],
        "gates": described["gates"],
    }


def _recorded(record: Record | None) -> dict[str, Any]:
    spec = {} if record is None else {name: str(v) if isinstance(v, Unknown) else v for name, v in record.spec.items()}
    return {"owner": spec.get("owner", ""), "tags": spec.get("tags", {}), "spec": spec, "gates": []}

"""Retraining: what made somebody train again, and what came of it. Each of it is a decision, with the one that caused it.

An alarm of a monitor asks for a training (`on_alarm: {retrain: ...}`), and is taken up once. A training is made once for each
content key, so for each pair of spec and data: an alarm whose data is what the model was trained on trains nothing.

    monitor alarm -> retrain begun -> retrain trained | skipped | failed | stopped -> gate passed | failed -> rollout

The intent is a file, written before anything is begun: whoever retrains next after a kill goes on with it, and concludes it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlctl.engine.ledger import Ledger
from mlctl.files import atomic, decisions
from mlctl.files.decision_code import code_of
from mlctl.types.address import Address
from mlctl.types.change import Change
from mlctl.types.decision import Decision
from mlctl.types.state import Record

INTENT_FILE, LOCK_FILE = "retrain.json", "retrain.lock"  # below the home of the environment
TRAINING, EVALUATIONS = "training", "evaluations"
DECIDING = ("mlctl.engine.retraining", "mlctl.engine.content", "mlctl.engine.decide")
ONCE = "a training is made once for each pair of spec and data"


@dataclass(frozen=True, slots=True)
class Intent:
    """What a retraining set out to do. `before` are the builds in use when it began, by address."""

    at: str
    trigger: str  # alarm, person, unattended
    trainings: tuple[str, ...]
    alarms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by training, the ids of those that ask for it
    before: Mapping[str, str] = field(default_factory=dict)
    gates: Mapping[str, str] = field(default_factory=dict)  # the evaluations in use, by address
    changes: Mapping[str, str] = field(default_factory=dict)  # by training, what a plan said about it
    begun: Mapping[str, str] = field(default_factory=dict)  # the ids of the decisions that it began with
    by: str = ""

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Intent:
        """Read the stored form. Raises TypeError or KeyError when it is none."""
        alarms = {name: tuple(ids) for name, ids in stored["alarms"].items()}
        return cls(**{**stored, "trainings": tuple(stored["trainings"]), "alarms": alarms})


def now() -> str:
    """The time, for a decision."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def waiting(home: Path) -> dict[str, list[Decision]]:
    """The alarms that ask for a training and were not taken up yet, by its address, oldest first."""
    asked: dict[str, list[Decision]] = {}
    taken: set[str] = set()
    for item in decisions.kept(home):
        if item.kind == "retrain":
            taken.update(item.inputs.get("alarms") or ())
        elif item.kind == "monitor" and item.verdict == "alarm":
            wanted = (item.outputs.get("actions") or {}).get("retrain")
            if isinstance(wanted, str):
                asked.setdefault(wanted, []).append(item)
    if (intent := read(home)) is not None:
        taken.update(id for ids in intent.alarms.values() for id in ids)
    left = {name: [item for item in items if item.id not in taken] for name, items in asked.items()}
    return {name: items for name, items in left.items() if items}


def read(home: Path) -> Intent | None:
    """What an earlier retraining left undone."""
    stored = atomic.read_object(home / INTENT_FILE)
    try:
        return None if stored is None else Intent.from_json(stored)
    except (TypeError, KeyError, AttributeError):
        return None


def begin(home: Path, intent: Intent) -> Intent:
    """Keep what is about to be done, and the decisions to do it. Repeatable. Raises OSError."""
    _write(home, intent)  # before the decisions: an alarm that is taken up is one that somebody sees through
    begun = {name: decisions.keep(home, _begun(intent, name)) for name in intent.trainings}
    intent = replace(intent, begun=begun)
    _write(home, intent)
    return intent


def conclude(home: Path, ledger: Ledger, exit_code: int) -> list[Decision]:
    """Keep what came of it, and let go of the intent. Gives the decisions, in the order of their causes. Raises OSError."""
    intent = read(home)
    if intent is None:
        return []
    if set(intent.begun) != set(intent.trainings):  # a kill came between the two
        intent = begin(home, intent)
    made: list[Decision] = []
    for name in intent.trainings:
        outcome = _outcome(intent, name, ledger, exit_code)
        decisions.keep(home, outcome)
        made.append(outcome)
        for gate in _gates(intent, name, ledger, outcome.id):
            decisions.keep(home, gate)
            made.append(gate)
    (home / INTENT_FILE).unlink(missing_ok=True)
    atomic.sync_folder(home)
    return made


def builds(ledger: Ledger, addresses: Iterable[Address]) -> dict[str, str]:
    """The content key in use of each address that was made."""
    found = {str(address): ledger.made(address) for address in addresses}
    return {name: record.key.identity for name, record in found.items() if record is not None}


def version_of(ledger: Ledger, training: Address) -> str:
    """How people call what a training made: the version that was registered of it, else its build."""
    record = ledger.made(training)
    if record is None:
        return ""
    for other in ledger:
        outputs = other.outputs
        uses = {use.key for use in other.uses}
        if other.key.address.section == EVALUATIONS and record.key in uses and outputs.get("version"):
            return f"{outputs.get('name')} v{outputs['version']}"
    return f"the build {record.key.identity}"


def told(change: Change | None) -> str:
    """What a plan says of a training, and why."""
    if change is None:
        return "not planned"
    causes = ", ".join(item.path for item in change.fields[:5])
    head = f"{change.action.value}: {change.detail or change.reason.value}"
    return f"{head} ({causes})" if causes else head


def _write(home: Path, intent: Intent) -> None:
    home.mkdir(parents=True, exist_ok=True)
    atomic.write_json(home / INTENT_FILE, asdict(intent))


def _begun(intent: Intent, name: str) -> Decision:
    alarms = list(intent.alarms.get(name, ()))
    why = (
        f"{len(alarms)} alarms ask for it"
        if len(alarms) > 1
        else "an alarm asks for it"
        if alarms
        else "it was asked for"
    )
    return Decision(
        kind="retrain",
        address=name,
        verdict="begun",
        rule=f"{why}; {ONCE}",
        at=intent.at,
        inputs={
            "trigger": intent.trigger,
            "alarms": alarms,
            "build": intent.before.get(name),
            "plan": intent.changes.get(name, ""),
        },
        cause=alarms[-1] if alarms else "",
        code=code_of(DECIDING),
        by=intent.by,
    )


def _outcome(intent: Intent, name: str, ledger: Ledger, exit_code: int) -> Decision:
    """Whether there is another build than before, and else why not."""
    address, before = Address.parse(name), intent.before.get(name)
    record = ledger.made(address)
    after = None if record is None else record.key.identity
    if after is not None and after != before:
        verdict, rule = "trained", "its spec or data are others than those of the build before"
    elif exit_code == 0 or (after is not None and exit_code == 3):
        verdict, rule = "skipped", f"data and spec are those of {version_of(ledger, address)}; {ONCE}"
    elif exit_code in (4, 130):
        verdict, rule = (
            "stopped",
            "it was asked to end, or its bound was reached; the next retraining goes on from its checkpoint",
        )
    else:
        verdict, rule = "failed", f"the run ended with exit code {exit_code}, and the build before is still in use"
    return Decision(
        kind="retrain",
        address=name,
        verdict=verdict,
        rule=rule,
        at=now(),
        inputs={"build_before": before, "plan": intent.changes.get(name, "")},
        outputs={"build": after, "exit_code": exit_code},
        cause=intent.begun.get(name, ""),
        code=code_of(DECIDING),
        by=intent.by,
    )


def _gates(intent: Intent, training: str, ledger: Ledger, cause: str) -> Iterable[Decision]:
    """What the evaluations of a training said, of those that judged anew."""
    made = ledger.made(Address.parse(training))
    for record in ledger if made is not None else ():
        address = record.key.address
        if address.section != EVALUATIONS or record.gate is None or ledger.made(address) is not record:
            continue
        if made is None or made.key not in {use.key for use in record.uses}:
            continue
        if intent.gates.get(str(address)) == record.key.identity:
            continue
        yield gate_decision(record, cause, intent.by)


def gate_decision(record: Record, cause: str, by: str) -> Decision:
    """The verdict of an evaluation against what it requires, and against the champion."""
    gate, outputs = record.gate, record.outputs
    if gate is None:
        raise ValueError(f"{record.key.address} has no gate")
    return Decision(
        kind="gate",
        address=str(record.key.address),
        verdict="passed" if gate.passed else "failed",
        rule=gate.summary,
        at=now(),
        inputs={"require": record.spec.get("require"), "build": record.key.identity, "uses": [str(use.key) for use in record.uses]},
        outputs={
            "metrics": outputs.get("metrics"), "model": outputs.get("name"), "version": outputs.get("version"),
            "details": list(gate.details), "approved": gate.approval is not None,
        },
        code=code_of(DECIDING),
        cause=cause,
        by=by,
    )  # fmt: skip


def text(made: Collection[Decision]) -> list[str]:
    """For a person."""
    return [f"{item.address}: {item.verdict}: {item.rule}" for item in made]


def dumped(made: Decision) -> dict[str, Any]:
    """For `--json`: the decision with its name."""
    return {"id": made.id, **json.loads(json.dumps(made.to_json()))}

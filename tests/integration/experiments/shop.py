"""A shop that mails a reminder to half of its users: exposures and outcomes with a known effect, in a project whose state knows them."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mlctl.cli.dispatch import dispatch
from mlctl.files.digests import FileDigests
from mlctl.provider import Context
from mlctl.providers.ab_test.experiment import Experiment
from mlctl.stats.assignment import assign
from mlctl.testing.harness import make_desired, make_record
from mlctl.types.address import ObjectKey
from mlctl.types.jobs.profile import dataset_digest
from mlctl.types.state import Record
from mlctl.workspace import Workspace

START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
DAY = timedelta(days=1)
EXPOSURES = {
    "user": "varchar",
    "arm": "varchar",
    "seen_at": "timestamp with time zone",
    "country": "varchar",
    "visits": "double",
}
OUTCOMES = {
    "user": "varchar",
    "at": "timestamp with time zone",
    "bought": "bigint",
    "amount": "double",
    "sessions": "bigint",
}
SPEC: dict[str, Any] = {
    "deployment": "api",
    "hypothesis": "A reminder brings more of them back",
    "unit": "user",
    "arms": {"control": 1, "treatment": 1},
    "primary": {"metric": "bought", "type": "proportion", "baseline": 0.20, "mde": {"absolute": 0.06}},
    "guardrails": [{"metric": "amount", "type": "mean", "aggregate": "sum", "better": "higher", "margin": 1.5}],
    "exposures": {"dataset": "exposures", "timestamp": "seen_at"},
    "outcomes": {"dataset": "outcomes", "timestamp": "at", "window": "2d"},
    "subgroups": ["country"],
    "design": {"daily_units": 110, "looks": 3},
}


@dataclass
class Shop:
    """The project. `users` come over `days`; of the treated ones `lost` never get into the data."""

    root: Path
    users: int = 2600
    days: float = 24.0
    effect: float = 0.0
    lost: float = 0.0
    seed: int = 1
    spec: dict[str, Any] = field(default_factory=lambda: json.loads(json.dumps(SPEC)))

    def make(self) -> Shop:
        """Write the data, and put what an apply would have made of the blocks into the state."""
        chance = random.Random(self.seed)
        exposures: list[list[Any]] = []
        outcomes: list[list[Any]] = []
        for number in range(self.users):
            user = f"u{number}"
            arm = assign(user, "shop.mail", {"control": 1, "treatment": 1})
            seen = START + DAY * self.days * number / self.users
            country, visits = chance.choice(["de", "fr", "us"]), chance.gauss(10, 3)
            bought = chance.random() < 0.20 + (self.effect if arm == "treatment" else 0.0)
            amount = max(0.0, visits + chance.gauss(0, 1))
            missing = arm == "treatment" and chance.random() < self.lost
            if not missing:
                exposures.append([user, arm, seen.isoformat(), country, f"{visits:.6f}"])
                outcomes.append([user, (seen + DAY / 2).isoformat(), int(bought), f"{amount:.6f}", 1 + number % 4])
        self.write("exposures", EXPOSURES, exposures)
        self.write("outcomes", OUTCOMES, outcomes)
        return self

    def write(self, name: str, columns: Mapping[str, str], rows: Iterable[Iterable[Any]], **outputs: Any) -> None:
        """A dataset, as an apply would profile it."""
        path = self.root / f"{name}.csv"
        with open(path, "w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(columns)
            writer.writerows(rows)
        found: dict[str, Any] = {
            "files": [path.name],
            "format": "csv",
            "columns": dict(columns),
            "key": [],
            "timestamp": None,
            **outputs,
        }
        found["digest"] = dataset_digest(found, FileDigests().files([path.name], self.root))
        self.record(Record(ObjectKey.parse(f"datasets.{name}#"), name, outputs=found))

    def rows(self, name: str) -> list[list[str]]:
        """What a dataset holds."""
        with open(self.root / f"{name}.csv", newline="") as stream:
            return list(csv.reader(stream))[1:]

    def record(self, record: Record) -> None:
        (self.root / "mlctl.yaml").write_text("project: shop\n")
        with Workspace(self.root).session("test") as (session, _):
            session.record(record)

    def apply(self, deployment: Record | None = None) -> Record:
        """The experiment, as it stands in `spec`."""
        known = deployment or Record(ObjectKey.parse("deployments.api#"), "x", outputs={"digest": "d"})
        self.record(known)
        ctx = self.context
        inputs = {name: record for name, record in self.records().items() if not name.startswith("experiments.")}
        desired = make_desired(Experiment(), "experiments.mail", self.spec, ctx, inputs)
        prior = self.records().get("experiments.mail")
        record = make_record(desired, Experiment().apply(desired, prior, ctx))
        self.record(record)
        return record

    def records(self) -> dict[str, Record]:
        return Workspace(self.root).records()

    @property
    def context(self) -> Context:
        workspace = Workspace(self.root)
        return replace(workspace.context(workspace.ledger()), project="shop")

    def mlctl(self, *arguments: str) -> int:
        name, *rest = arguments
        return dispatch(name, [*rest, "-C", str(self.root)])

    def analyze(self, days: float, *more: str) -> int:
        """The analysis of what is there so many days after the start."""
        return self.mlctl("experiment", "analyze", "--until", (START + DAY * days).isoformat(), *more)

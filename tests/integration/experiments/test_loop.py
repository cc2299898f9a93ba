"""From an A/B split of real servers to a verdict, the note of a plan, the edit, and the winner that answers all requests."""

from __future__ import annotations

import http.client
import json
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mlctl.stats.assignment import assign, unit_hash
from tests.rollouts.world import free_port

pytestmark = [pytest.mark.tools, pytest.mark.soak]

ARMS = {"control": 1.0, "treatment": 1.0}
USERS = 400
PROJECT = """\
project: shop
tracking: {mlflow: {uri: "sqlite:///.mlctl/mlflow.db", experiment: shop}}
datasets:
  labels: {path: labels.csv}
  held_back: {path: held_back.csv}
  orders: {path: orders.csv}
  exposures: {path: exposures.csv}
training:
  a: {data: {labels: labels, target: y, split: {by: random, test: 10%}}, model: {type: mlp, hidden: [2]}, epochs: 4, batch_size: 64, optimizer: {type: adamw, lr: 0.05}}
  b: {data: {labels: labels, target: y, split: {by: random, test: 10%}}, model: {type: mlp, hidden: [4]}, epochs: 6, batch_size: 64, optimizer: {type: adamw, lr: 0.05}}
evaluations:
  a: {model: "${training.a.model}", dataset: held_back, require: {roc_auc: {min: 0.5}}, register: {name: shops, alias: champion}}
  b: {model: "${training.b.model}", dataset: held_back, require: {roc_auc: {min: 0.5}}, register: {name: shops, alias: challenger}}
deployments:
  # asked by the shop
  api:
    model: shops@champion
    serve: {port: 0}
    rollout:
      unit: x-user
      salt: mail
      gateway: python
      ab:
        arms:
          control: {model: shops@champion}
          treatment: {model: shops@challenger}
experiments:
  live:   # by the log alone
    deployment: api
    hypothesis: A better model sells more
    unit: user_id
    salt: mail
    arms: {control: 1, treatment: 1}
    primary: {metric: bought, type: proportion, baseline: 0.2, mde: {absolute: 0.2}}
    guardrails: [{metric: error_rate, margin: 0.05}, {metric: p95_seconds, max_ratio: 3}]
    outcomes: {dataset: orders, timestamp: ordered_at}
    design: {daily_units: 100, looks: 2}
  mail:   # by exposures of the last nine days
    deployment: api
    hypothesis: A better model sells more
    unit: user_id
    salt: mail
    arms: {control: 1, treatment: 1}
    primary: {metric: bought, type: proportion, baseline: 0.2, mde: {absolute: 0.2}}
    guardrails: [{metric: error_rate, margin: 0.05}]
    exposures: {dataset: exposures, timestamp: seen_at}
    outcomes: {dataset: orders, timestamp: ordered_at}
    design: {daily_units: 100, looks: 2}
"""


class Project:
    """A folder, and the installed program run in it."""

    def __init__(self, root: Path) -> None:
        self.root, self.port = root, free_port()
        chance = random.Random(1)
        for name in ("labels", "held_back"):
            rows = [(chance.gauss(0, 1), chance.gauss(0, 1)) for _ in range(300)]
            lines = [f"{int(x + 0.3 * z + chance.gauss(0, 0.5) > 0)},{x:.4f},{z:.4f}" for x, z in rows]
            (root / f"{name}.csv").write_text("\n".join(["y,x,z", *lines]) + "\n")
        (root / "mlctl.yaml").write_text(PROJECT.replace("port: 0", f"port: {self.port}"))
        self.tell(datetime.now(UTC))

    def tell(self, now: datetime) -> None:
        """Write exposures of the last nine days and what came of them, and for the live ones an outcome from now on."""
        chance = random.Random(2)
        seen, orders = ["user_id,arm,seen_at"], ["user_id,ordered_at,bought"]
        for number in range(USERS):
            arm, at = assign(f"u{number}", "mail", ARMS), now - timedelta(days=9 * (1 - number / USERS))
            bought = int(chance.random() < (0.6 if arm == "treatment" else 0.2))
            seen.append(f"u{number},{arm},{at.isoformat()}")
            orders.append(f"u{number},{(at + timedelta(seconds=60)).isoformat()},{bought}")
            orders.append(f"u{number},{(now - timedelta(seconds=1)).isoformat()},{bought}")
        (self.root / "exposures.csv").write_text("\n".join(seen) + "\n")
        (self.root / "orders.csv").write_text("\n".join(orders) + "\n")

    def mlctl(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [Path(sys.executable).with_name("mlctl"), *arguments],
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def ask(self, user: str) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            body = json.dumps({"instances": [{"x": 1.0, "z": 0.5}]})
            connection.request("POST", "/predict", body, {"content-type": "application/json", "x-user": user})
            response = connection.getresponse()
            answer: dict[str, Any] = json.loads(response.read())
            assert response.status == 200, answer
            return answer
        finally:
            connection.close()


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    found = Project(tmp_path)
    try:
        found.mlctl("apply", "--auto-approve")
        yield found
    finally:
        subprocess.run(
            [Path(sys.executable).with_name("mlctl"), "destroy", "--auto-approve"],
            cwd=tmp_path,
            capture_output=True,
            check=False,
        )


def test_a_split_is_analysed_by_its_log_and_the_winner_takes_over(project: Project) -> None:
    versions = {assign(f"u{n}", "mail", ARMS): project.ask(f"u{n}")["version"] for n in range(USERS)}
    assert len(set(versions.values())) == 2
    time.sleep(2)
    project.tell(datetime.now(UTC))
    project.mlctl("apply", "--auto-approve")
    live = json.loads(project.mlctl("experiment", "analyze", "live", "--json"))
    expected = [sum(assign(f"u{n}", "mail", ARMS) == arm for n in range(USERS)) for arm in ARMS]
    assert [live["units"][arm] for arm in ARMS] == expected
    assert live["verdict"] == "continue"  # a week is not over
    assert {one["metric"]: one["units"] for one in live["metrics"]} == dict.fromkeys(
        ("bought", "error_rate", "p95_seconds"), USERS
    )
    assert 0.3 < live["metrics"][0]["difference"] < 0.5
    log = next((project.root / ".mlctl/default/objects/deployments.api/self/predictions").glob("*.jsonl")).read_text()
    assert unit_hash("u0") in log
    assert re.search(r'"u\d', log) is None  # ids stay out of it

    found = json.loads(project.mlctl("experiment", "analyze", "mail", "--require", "ship", "--json"))
    assert (found["verdict"], found["arm"]) == ("ship", "treatment")
    assert "note deployments.api: experiments.mail ships treatment: write `model: shops@challenger`" in project.mlctl(
        "plan"
    )
    project.mlctl("experiment", "promote", "mail", "--write")
    text = (project.root / "mlctl.yaml").read_text()
    assert "  # asked by the shop\n  api:\n    model: shops@challenger\n    serve:" in text
    assert "rollout" not in text
    project.mlctl("apply", "--auto-approve")
    assert {project.ask(f"u{n}")["version"] for n in range(20)} == {versions["treatment"]}
    assert "No changes" in project.mlctl("plan")
    assert "same: ship, to the bit" in project.mlctl("replay", found["decision"])

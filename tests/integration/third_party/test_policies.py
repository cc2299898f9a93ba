"""The policies of docs/guides/policies.md, asked of real plans by the real command line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from mlctl import templates

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs" / "guides" / "policies.md").read_text()
Mlctl = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def mlctl(tmp_path: Path) -> Mlctl:
    """The command line on the starter project with the policies of the guide."""
    (policies,) = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    for name, data in templates.files("minimal").items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(templates.fill(data, {"project": "shop"}))
    project = (tmp_path / "mlctl.yaml").read_text()
    (tmp_path / "mlctl.yaml").write_text(
        f"{project}\nenvironments:\n  dev: {{default: true}}\n  prod: {{}}\n{policies}"
    )

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mlctl.cli.main", "-C", str(tmp_path), *arguments]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    return run


def edit(folder: Path, old: str, new: str) -> None:
    text = (folder / "mlctl.yaml").read_text()
    assert old in text
    (folder / "mlctl.yaml").write_text(text.replace(old, new, 1))


def denied(mlctl: Mlctl, *arguments: str) -> list[tuple[str, str]]:
    """The policies that refuse a plan, with the address that each names."""
    done = mlctl("plan", "--json", *arguments)
    lines: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    found = [
        (re.findall(r"policy `(\w+)`", item["why"])[0], item["address"] or "")
        for item in lines
        if item.get("code") == "policy.denied"
    ]
    assert done.returncode == (4 if found else 0), done.stdout + done.stderr
    return found  # fmt: skip


def test_the_starter_keeps_all_of_them(mlctl: Mlctl) -> None:
    assert denied(mlctl) == []


def test_a_deployment_without_an_owner_is_refused_with_its_place_and_nothing_is_touched(
    mlctl: Mlctl, tmp_path: Path
) -> None:
    edit(tmp_path, "owner: {team: shop-team}\n", "")
    assert denied(mlctl) == [("deployments_have_owners", "deployments.buys_api")]
    applied = mlctl("apply", "--auto-approve")
    assert applied.returncode == 4
    assert "deployments.buys_api: a deployment needs an owner" in applied.stderr
    assert re.search(r"mlctl\.yaml:\d+:3", applied.stderr)
    assert not list(tmp_path.glob(".mlctl/*/objects/*"))
    assert not [path for path in tmp_path.rglob("state.json") if json.loads(path.read_text())["objects"]]


def test_a_training_on_unchecked_data_is_refused(mlctl: Mlctl, tmp_path: Path) -> None:
    edit(tmp_path, "    dataset: visits\n", "    dataset: visits_holdout\n")
    assert denied(mlctl) == [("trained_on_checked_data", "training.buys")]


def test_a_fourth_training_in_one_apply_is_refused_until_it_is_waived(mlctl: Mlctl, tmp_path: Path) -> None:
    edit(tmp_path, "    seed: 7\n", "    matrix: {seed: [1, 2, 3, 4]}\n    seed: ${matrix.seed}\n")
    edit(tmp_path, "    model: ${training.buys.model}\n", '    model: ${training.buys["seed=1"].model}\n')
    waived = mlctl("plan", "--json")  # ana's waiver lasts
    assert waived.returncode == 0, waived.stdout
    assert "waived by ana until 2027-01-31: the yearly sweep" in waived.stdout
    edit(tmp_path, "2027-01-31", "2020-01-31")
    assert denied(mlctl) == [("few_trainings", "")]
    assert "the waiver of ana ended on 2020-01-31" in mlctl("plan").stderr


def test_a_removal_is_refused_in_production_only(mlctl: Mlctl, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(
        "project: tiny\nenvironments:\n  dev: {default: true}\n  prod: {}\nentities:\n  user: {key: user_id}\n"
        + re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)[0]
    )
    for environment, code in (("dev", 0), ("prod", 4)):
        assert mlctl("-f", "tiny.yaml", "-e", environment, "apply", "--auto-approve").returncode == 0
        destroyed = mlctl("-f", "tiny.yaml", "-e", environment, "destroy", "--auto-approve")
        assert destroyed.returncode == code, destroyed.stdout + destroyed.stderr
        assert ("entities.user" in mlctl("-f", "tiny.yaml", "-e", environment, "state", "list").stdout) == (code == 4)


def test_a_rule_about_a_day_counts_on_that_day(mlctl: Mlctl, tmp_path: Path) -> None:
    today = datetime.now().astimezone().strftime("%A").lower()
    other = "monday" if today != "monday" else "tuesday"
    rule = "weekday=='friday' && changes[?section=='deployments' && (action=='replace' || action=='destroy')]"
    edit(tmp_path, rule, f"weekday=='{other}' && changes[?section=='deployments']")
    edit(tmp_path, "    severity: warning\n", "")
    assert denied(mlctl) == []
    edit(tmp_path, f"weekday=='{other}'", f"weekday=='{today}'")
    assert denied(mlctl) == [("quiet_fridays", "deployments.buys_api")]


def test_an_expression_that_cannot_be_read_or_answered_is_told_with_its_place(mlctl: Mlctl, tmp_path: Path) -> None:
    edit(tmp_path, "changes[?action=='destroy']", "changes[?action==")
    done = mlctl("validate")
    assert done.returncode == 1
    assert re.search(r"mlctl\.yaml:\d+", done.stderr)
    assert "JMESPath" in done.stderr
    edit(tmp_path, "changes[?action==", "length(changes)")
    edit(tmp_path, "    environments: [prod]\n", "")
    done = mlctl("apply", "--auto-approve")
    assert (done.returncode, "which is neither a yes nor a no" in done.stderr) == (1, True), done.stderr

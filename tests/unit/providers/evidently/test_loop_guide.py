"""The project in the guide to the closed loop is one that `mlctl validate` has nothing against, and its commands are there."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from mlctl.cli.commands import demo, monitor, retrain, schedule
from mlctl.workspace import Workspace
from tests.unit.providers.serving.test_rollout_guide import AROUND

TEXT = (Path(__file__).parents[4] / "docs" / "guides" / "closed-loop.md").read_text()


def test_the_project_of_the_guide_is_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALERT_WEBHOOK", "https://alerts.example/0123456789")
    (block,) = (yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL))
    for name in AROUND["datasets"]:
        (tmp_path / f"{name}.csv").touch()
    (tmp_path / "mlctl.yaml").write_text(json.dumps({**AROUND, **block}))
    workspace = Workspace(tmp_path)
    assert workspace.project.resources
    assert [item.summary for item in workspace.noticed] == []


@pytest.mark.parametrize(
    ("app", "name"),
    [(demo.app, "demo"), (monitor.app, "monitor"), (retrain.app, "retrain"), (schedule.app, "schedule")],
)
def test_each_option_of_a_command_in_the_guide_is_one_it_has(app: object, name: str) -> None:
    lines = [shlex.split(line, comments=True) for line in re.findall(rf"^ {{4}}mlctl ({name} .*)$", TEXT, re.MULTILINE)]
    assert lines
    for _, *words in lines:
        command = words[: 0 if name == "retrain" else 1]
        shown = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200"}).output  # type: ignore[arg-type]
        for option in [word for word in words if word.startswith("--")]:
            assert option in shown, f"{name} {' '.join(words)}: {option}"

"""What a verdict asks of the deployment: told by a plan, and written into the project file with its comments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlctl.cli.patching import Patched
from mlctl.cli.promoting import patch_for
from mlctl.files.advice import take
from mlctl.provider import Condition, Observed
from mlctl.providers.ab_test.advising import Promotion
from mlctl.providers.serving.advised import advised
from mlctl.types.address import ObjectKey
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.state import Record
from mlctl.workspace import Workspace
from tests.integration.experiments.shop import Shop

pytestmark = pytest.mark.tools

SPLIT: dict[str, Any] = {
    "unit": "x-user",
    "salt": "shop.mail",
    "ab": {
        "arms": {
            "control": {"model": "shops@champion", "weight": 1.0},
            "treatment": {"model": "shops@challenger", "weight": 1.0},
        }
    },
}
PROJECT = """\
project: shop   # ours

datasets:
  labels: {path: labels.csv}
  held_back: {path: held_back.csv}

training:
  a: {data: {labels: labels, target: y, split: {by: random, test: 10%}}, model: {type: mlp, hidden: [2]}, epochs: 1, optimizer: {type: adamw, lr: 0.01}}
  b: {data: {labels: labels, target: y, split: {by: random, test: 10%}}, model: {type: mlp, hidden: [4]}, epochs: 1, optimizer: {type: adamw, lr: 0.01}}

evaluations:
  a: {model: "${training.a.model}", dataset: held_back, require: {roc_auc: {min: 0.5}}, register: {name: shops, alias: champion}}
  b: {model: "${training.b.model}", dataset: held_back, require: {roc_auc: {min: 0.5}}, register: {name: shops, alias: challenger}}

deployments:
  # the one that everybody asks
  api:
    model: shops@champion   # since spring
    rollout:
      unit: x-user
      salt: shop.mail
      ab:
        arms:
          control: {model: shops@champion}
          # sends a reminder
          treatment: {model: shops@challenger}
    serve: {port: 18999}   # behind the proxy
  other: {model: shops@champion, serve: {port: 18998}}
"""
KEY = ObjectKey.parse("deployments.api#")


def deployed(split: dict[str, Any] | None = None) -> Record:
    return Record(KEY, "gateway", spec={"model": "shops@champion", "rollout": split or SPLIT}, outputs={"digest": "d"})


@pytest.fixture
def shipped(tmp_path: Path) -> Shop:
    shop = Shop(tmp_path, effect=0.2, users=2000, days=18).make()
    shop.apply(deployed())
    assert shop.analyze(20) == ExitCode.OK
    for name in ("labels", "held_back"):
        (tmp_path / f"{name}.csv").write_text("y,x\n1,2\n")
    (tmp_path / "mlctl.yaml").write_text(PROJECT)
    return shop


def note(shop: Shop, record: Record, seen: Observed | None = None) -> str | None:
    found = advised(seen or Observed(), record, shop.context)
    return None if found is None else found.note


def test_a_plan_tells_on_the_deployment_what_was_shipped_as_long_as_the_split_is_that_one(shipped: Shop) -> None:
    told = note(shipped, deployed())
    assert told is not None
    assert told.startswith("experiments.mail ships treatment: write `model: shops@challenger` and remove `rollout`")
    assert note(shipped, deployed(), Observed(note="rolling out")) == f"rolling out; {told}"
    assert note(shipped, deployed({**SPLIT, "salt": "another"})) == ""
    assert note(shipped, deployed(), Observed(condition=Condition.BROKEN)) == ""


def test_advice_goes_with_its_experiment(shipped: Shop) -> None:
    (shipped.root / "mlctl.yaml").write_text("project: shop\n")
    shipped.spec["salt"] = "another"
    shipped.apply(deployed())
    assert take(shipped.context.home, "deployments.api") is None


def test_the_edit_is_shown_and_then_made_with_all_comments_but_those_of_what_goes(
    shipped: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert shipped.mlctl("experiment", "promote") == ExitCode.OK
    shown = capsys.readouterr().out
    assert "--- a/mlctl.yaml\n" in shown
    assert "\n-    model: shops@champion   # since spring\n" in shown
    assert "\n+    model: shops@challenger   # since spring\n" in shown
    assert "nothing was written" in shown
    assert (shipped.root / "mlctl.yaml").read_text() == PROJECT
    assert shipped.mlctl("experiment", "promote", "mail", "--write", "--json") == ExitCode.OK
    start, end = PROJECT.index("    rollout:"), PROJECT.index("    serve: {port: 18999}")
    expected = (PROJECT[:start] + PROJECT[end:]).replace("shops@champion   # since", "shops@challenger   # since")
    assert (shipped.root / "mlctl.yaml").read_text() == expected
    assert Workspace(shipped.root).project.resources  # it is a valid project still
    capsys.readouterr()
    assert shipped.mlctl("experiment", "promote") == ExitCode.ERROR
    assert "has no arm `treatment` any more" in capsys.readouterr().err


def test_what_did_not_ship_ends_the_treatment(tmp_path: Path) -> None:
    shop = Shop(tmp_path, effect=-0.15).make()
    shop.apply(deployed())
    assert shop.analyze(17) == ExitCode.GATE_FAILED
    advice = take(shop.context.home, "deployments.api")
    assert advice is not None
    assert "stops, and no treatment is to be kept: write `model: shops@champion`" in advice.text


def test_while_it_goes_on_nothing_is_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shop = Shop(tmp_path, users=600, days=11).make()
    shop.apply(deployed())
    assert shop.mlctl("experiment", "promote") == ExitCode.ERROR
    assert "it was not analysed yet" in capsys.readouterr().err
    shop.analyze(12)
    assert take(shop.context.home, "deployments.api") is None
    assert shop.mlctl("experiment", "promote") == ExitCode.ERROR
    assert "the last verdict is `continue`" in capsys.readouterr().err


def test_a_deployment_without_a_split_of_models_is_asked_nothing(tmp_path: Path) -> None:
    shop = Shop(tmp_path, effect=0.2).make()
    shop.apply()
    assert shop.analyze(20) == ExitCode.OK
    assert take(shop.context.home, "deployments.api") is None


BLOCK = PROJECT[PROJECT.index("  api:\n") : PROJECT.index("  other:")]
IN_BRACES = (
    "  api: {model: shops@champion, serve: {port: 18999}, rollout: {unit: x-user, salt: shop.mail, ab: {arms: "
    "{control: {model: shops@champion}, treatment: {model: shops@challenger}}}}}\n"
)


def test_a_block_in_braces_is_edited_in_its_line(shipped: Shop) -> None:
    (shipped.root / "mlctl.yaml").write_text(PROJECT.replace(BLOCK, IN_BRACES))
    after = edit(shipped).after
    assert after == PROJECT.replace(BLOCK, "  api: {model: shops@challenger, serve: {port: 18999}}\n")


def test_a_block_that_cannot_be_edited_safely_is_left_to_a_person(shipped: Shop) -> None:
    text = PROJECT.replace("    model: shops@champion   # since spring\n", "    model: &m shops@champion\n")
    text = text.replace("  other: {model: shops@champion", "  other: {model: *m")
    (shipped.root / "mlctl.yaml").write_text(text)
    with pytest.raises(MlctlError) as caught:
        edit(shipped)
    assert caught.value.diagnostics[0].code == "experiment.edit-by-hand"
    assert (shipped.root / "mlctl.yaml").read_text() == text


def edit(shop: Shop) -> Patched:
    return patch_for(Workspace(shop.root), Promotion("deployments.api", "treatment", "shops@challenger", True, SPLIT))

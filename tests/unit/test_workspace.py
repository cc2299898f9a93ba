"""A project folder opened: what is found without reading it all, and where each environment keeps its state."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlctl.types.diagnostic import MlctlError
from mlctl.workspace import Chosen, Workspace

TEXT = """\
project: shop
state: {backend: s3, bucket: the-bucket, prefix: team, region: eu-1}
environments:
  dev: {state: {backend: local}}
  prod: {}
entities: {visitor: {kye: wrong}}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "mlctl.yaml").write_text(TEXT)
    return tmp_path


def test_each_environment_has_its_own_place_for_the_state(root: Path) -> None:
    dev, prod = Workspace(root, chosen=Chosen("dev")), Workspace(root, chosen=Chosen("prod"))
    assert dev.home == root / ".mlctl" / "dev"
    assert str(dev.home) in dev.store.location
    assert prod.store.location == "s3://the-bucket/team/shop/prod"
    assert list(dev.ledger()) == []  # although the rest of the project is wrong
    with pytest.raises(MlctlError, match="unknown field `kye`"):
        _ = dev.loaded


def test_an_environment_made_for_a_while_has_a_place_of_its_own_beside_that_of_its_base(root: Path) -> None:
    for name, base in (("pr-1", "prod"), ("pr-2", "dev")):
        (root / ".mlctl" / name).mkdir(parents=True)
        (root / ".mlctl" / name / "environment.json").write_text(f'{{"from": "{base}"}}')
    assert Workspace(root, chosen=Chosen("pr-1")).store.location == "s3://the-bucket/team/shop/pr-1"
    assert str(root / ".mlctl" / "pr-2") in Workspace(root, chosen=Chosen("pr-2")).store.location


def test_a_folder_without_a_project_has_a_state_too(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert (workspace.environment, list(workspace.ledger())) == ("default", [])
    with pytest.raises(MlctlError, match="there is no environment `prod`"):
        _ = Workspace(tmp_path, chosen=Chosen("prod")).store


def test_a_kept_project_is_opened_without_its_files(root: Path) -> None:
    (root / "mlctl.yaml").write_text(TEXT.replace("kye: wrong", "key: id, dtype: string"))
    before = Workspace(root, chosen=Chosen("dev")).loaded
    (root / "mlctl.yaml").unlink()
    after = Workspace(root, chosen=Chosen("dev"), texts=before.texts, values=before.values)
    assert (after.loaded.digest, after.home) == (before.digest, root / ".mlctl" / "dev")


def test_what_was_made_can_be_looked_at_while_the_resources_are_being_written(root: Path) -> None:
    (root / "mlctl.yaml").write_text(TEXT + "training: {churn: {epohcs: 3}}\nbudget: {max_usd: 5}\n")
    workspace = Workspace(root, chosen=Chosen("dev"))
    _, context = workspace.reader()
    assert context.project == "shop"
    assert context.settings["budget"]["max_usd"] == 5
    assert context.settings["tracking"]["mlflow"]  # the default of a kind that is written
    assert "unknown field `kye` in entities.visitor" in [item.summary for item in workspace.unread]
    with pytest.raises(MlctlError, match="unknown field `kye`"):
        _ = workspace.project


def test_a_mistake_in_what_holds_for_all_resources_is_not_looked_past(root: Path) -> None:
    (root / "mlctl.yaml").write_text(TEXT + "budget: {max_usb: 5}\n")
    with pytest.raises(MlctlError, match="unknown field `max_usb`"):
        Workspace(root, chosen=Chosen("dev")).reader()

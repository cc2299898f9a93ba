"""A project file is changed where it decides a field, and only when the whole project stays valid; else nothing is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlctl.cli.patching import Edit, edits_of, patched, shared, write
from mlctl.spec.editing import REMOVED
from mlctl.types.address import Address
from mlctl.types.diagnostic import MlctlError
from mlctl.workspace import Chosen, Workspace
from tests.unit.cli.costing.shop import spec_of, written

ONE = """\
project: shop
datasets: {visits: {path: data/visits.csv, key: [id]}}
training:
  buys:   # who buys
    data: {labels: visits, target: bought, split: {by: random}}
    model: {type: mlp, hidden: [4]}
    epochs: 5
    optimizer: {type: adamw, lr: 1e-3}
"""
BUYS = Address("training", "buys")


def edit(path: str, value: Any, address: Address = BUYS) -> Edit:
    return Edit(address, tuple(path.split(".")), value)


def text_of(folder: Path, name: str = "mlctl.yaml") -> str:
    return (folder / name).read_text()


def refused(workspace: Workspace, *edits: Edit) -> str:
    with pytest.raises(MlctlError) as told:
        patched(workspace, edits)
    return f"{told.value.diagnostics[0].summary}: {told.value.diagnostics[0].why}"


def test_the_field_is_written_where_it_stands_and_nothing_before_that(tmp_path: Path) -> None:
    workspace = written(tmp_path, ONE)
    patch = patched(workspace, [edit("epochs", 7), edit("batch_size", 64)])
    assert text_of(tmp_path) == ONE
    assert [line for line in patch.diff.splitlines()[2:] if line[0] in "+-"] == [
        "-    epochs: 5",
        "+    epochs: 7",
        "+    batch_size: 64",
    ]
    (tmp_path / "mlctl.yaml").chmod(0o640)
    assert write(workspace, patch, approved=True, as_json=True)
    assert text_of(tmp_path) == ONE.replace("epochs: 5", "epochs: 7") + "    batch_size: 64\n"
    assert (tmp_path / "mlctl.yaml").stat().st_mode & 0o777 == 0o640
    assert (spec_of(workspace, "training.buys").epochs, spec_of(workspace, "training.buys").batch_size) == (7, 64)


def test_what_would_not_be_valid_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    workspace = written(tmp_path, ONE)
    for bad in (edit("epochs", "many"), edit("memory.gradient_checkpointing", True), edit("epochs", REMOVED)):
        with pytest.raises(MlctlError):
            patched(workspace, [bad])
    assert text_of(tmp_path) == ONE
    assert "no effect" in refused(workspace, edit("epochs", 5))


def test_a_field_of_an_included_file_is_changed_there(tmp_path: Path) -> None:
    head, _, body = ONE.partition("training:")
    workspace = written(tmp_path, head + "include: [parts/*.yaml]\n")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "train.yaml").write_text("training:" + body)
    patch = patched(workspace, [edit("epochs", 7)])
    assert (patch.name, write(workspace, patch, approved=True, as_json=True)) == ("parts/train.yaml", True)
    assert "epochs: 7" in text_of(tmp_path, "parts/train.yaml")
    assert text_of(tmp_path) == head + "include: [parts/*.yaml]\n"


def test_a_field_that_an_environment_decides_is_changed_in_the_environment(tmp_path: Path) -> None:
    overlay = "environments:\n  dev: {}\n  prod:\n    training: {buys: {epochs: 50}}\n"
    written(tmp_path, ONE + overlay)
    workspace = Workspace(tmp_path, chosen=Chosen("prod"))
    write(workspace, patched(workspace, [edit("epochs", 60)]), approved=True, as_json=True)
    assert "prod:\n    training: {buys: {epochs: 60}}" in text_of(tmp_path)
    assert "    epochs: 5\n" in text_of(tmp_path)
    write(
        workspace,
        patched(Workspace(tmp_path, chosen=Chosen("prod")), [edit("batch_size", 64)]),
        approved=True,
        as_json=True,
    )
    assert spec_of(Workspace(tmp_path, chosen=Chosen("dev")), "training.buys").batch_size == 64


def test_an_environment_that_would_not_be_valid_any_more_is_kept(tmp_path: Path) -> None:
    overlay = "environments:\n  dev: {}\n  prod:\n    training: {buys: {micro_batch_size: 128}}\n"
    written(tmp_path, ONE.replace("epochs: 5", "epochs: 5\n    batch_size: 256") + overlay)
    workspace = Workspace(tmp_path, chosen=Chosen("dev"))
    before = text_of(tmp_path)
    patch = patched(workspace, [edit("batch_size", 64)])
    with pytest.raises(MlctlError) as told:
        write(workspace, patch, approved=True, as_json=True)
    assert "micro_batch_size" in told.value.diagnostics[0].summary
    assert text_of(tmp_path) == before


def test_a_field_that_a_variable_decides_is_left_to_it(tmp_path: Path) -> None:
    text = ONE.replace("epochs: 5", "epochs: ${var.epochs}").replace(
        "project: shop", "project: shop\nvariables: {epochs: {type: int, default: 5}}"
    )
    assert "`epochs` is `${var.epochs}`, which is decided elsewhere" in refused(
        written(tmp_path, text), edit("epochs", 7)
    )


def test_instances_of_a_block_change_together_and_are_named(tmp_path: Path) -> None:
    text = ONE.replace("    epochs: 5\n", "    for_each: [eu, us]\n    epochs: 5\n")
    workspace = written(tmp_path, text)
    eu = Address.parse('training.buys["eu"]')
    assert shared(workspace.project, eu) == ['training.buys["us"]']
    write(workspace, patched(workspace, [edit("epochs", 7, eu)]), approved=True, as_json=True)
    assert spec_of(workspace, 'training.buys["us"]').epochs == 7


def test_a_file_that_was_changed_meanwhile_is_left_alone(tmp_path: Path) -> None:
    workspace = written(tmp_path, ONE)
    patch = patched(workspace, [edit("epochs", 7)])
    (tmp_path / "mlctl.yaml").write_text(ONE + "# mine\n")
    with pytest.raises(MlctlError) as told:
        write(workspace, patch, approved=True, as_json=True)
    assert told.value.diagnostics[0].code == "cost.file-changed"
    assert text_of(tmp_path) == ONE + "# mine\n"


def test_nobody_to_ask_is_an_error_and_nothing_is_written(tmp_path: Path) -> None:
    workspace = written(tmp_path, ONE)
    with pytest.raises(MlctlError) as told:
        write(workspace, patched(workspace, [edit("epochs", 7)]), approved=False, as_json=True)
    assert told.value.diagnostics[0].code == "cli.not-interactive"
    assert text_of(tmp_path) == ONE


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    workspace = written(tmp_path, ONE)
    (tmp_path / "mlctl.yaml").rename(tmp_path / "real.yaml")
    (tmp_path / "mlctl.yaml").symlink_to("real.yaml")
    write(workspace, patched(workspace, [edit("epochs", 7)]), approved=True, as_json=True)
    assert (tmp_path / "mlctl.yaml").is_symlink()
    assert "epochs: 7" in text_of(tmp_path, "real.yaml")


def test_a_change_over_two_files_is_refused(tmp_path: Path) -> None:
    head, _, body = ONE.partition("training:")
    workspace = written(tmp_path, head.replace("[id]}}", "[id]}}\ninclude: [more.yaml]"), more="training:" + body)
    visits = Address("datasets", "visits")
    assert "more than one file" in refused(workspace, edit("epochs", 7), edit("description", "all", visits))


def test_changes_of_an_outlook_are_read_as_the_values_they_are() -> None:
    found = list(
        edits_of(BUYS, ["strategy: {type: fsdp, processes: 4}", "serve.engine.tensor_parallel: 2", "strategy: single"])
    )
    assert [(item.path, item.value) for item in found] == [
        (("strategy",), {"type": "fsdp", "processes": 4}),
        (("serve", "engine", "tensor_parallel"), 2),
        (("strategy",), "single"),
    ]


def test_a_byte_order_mark_and_the_line_ends_of_windows_stay(tmp_path: Path) -> None:
    workspace = written(tmp_path, ONE)
    (tmp_path / "mlctl.yaml").write_bytes(b"\xef\xbb\xbf" + ONE.replace("\n", "\r\n").encode())
    write(workspace, patched(workspace, [edit("epochs", 7)]), approved=True, as_json=True)
    wanted = ONE.replace("epochs: 5", "epochs: 7").replace("\n", "\r\n").encode()
    assert (tmp_path / "mlctl.yaml").read_bytes() == b"\xef\xbb\xbf" + wanted

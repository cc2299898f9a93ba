"""What a kind is given: paths that stay in the project."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlctl.files.digests import FileDigests
from mlctl.provider import Context
from mlctl.types.diagnostic import MlctlError


def test_a_path_that_a_link_leads_out_of_the_project_is_refused_with_the_link(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    for folder in (root / "made", elsewhere / "deep"):
        folder.mkdir(parents=True)
    (root / "data").symlink_to(elsewhere)
    (root / "made" / "within").symlink_to(root / "made")
    context = Context(root, root / ".mlctl", "default", "test", "lineage", {}, FileDigests())
    assert context.path("made/within/x.csv") == root / "made" / "x.csv"
    with pytest.raises(MlctlError) as caught:
        context.path("data/deep/train.jsonl")
    [found] = caught.value.diagnostics
    assert (found.code, found.summary) == (
        "spec.path-outside",
        "the path `data/deep/train.jsonl` leaves the project folder",
    )
    assert found.why.startswith(f"`data` is a link to {elsewhere}, and ")
    with pytest.raises(MlctlError) as caught:
        context.path("../elsewhere/deep")
    assert "link" not in caught.value.diagnostics[0].why

"""What holds of a project whose resources have mistakes, and when not even that can be told."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlctl.spec.project import Surroundings, load_surroundings
from mlctl.spec.reading import Reader
from mlctl.types.diagnostic import MlctlError
from mlctl.types.secret import redacted
from tests.unit.spec.toys import registry

SETTINGS = 'tracking: {uri: "sqlite:///x.db"}\n'


def around(folder: Path, text: str, secrets: tuple[str, ...] = (), **files: str) -> Surroundings:
    (folder / "mlctl.yaml").write_text(text)
    for name, more in files.items():
        (folder / f"{name}.yaml").write_text(more)
    return load_surroundings(folder, registry(), reader=Reader(folder), secrets=secrets)


def codes(folder: Path, text: str, **files: str) -> list[str]:
    with pytest.raises(MlctlError) as caught:
        around(folder, text, **files)
    return [item.code for item in caught.value.diagnostics]


def test_mistakes_of_resources_are_no_matter(tmp_path: Path) -> None:
    found = around(tmp_path, f"project: rides\n{SETTINGS}datasets:\n  trips: {{pth: 7}}\ntypo: 1\n")
    assert found.name == "rides"
    assert found.settings["tracking"]["uri"] == "sqlite:///x.db"


def test_a_file_that_cannot_be_parsed_could_hold_the_name_and_the_settings(tmp_path: Path) -> None:
    assert codes(tmp_path, "project: rides\ndatasets: {a: [\n") == ["spec.syntax"]
    assert codes(tmp_path, "# nothing yet\n") == ["spec.empty"]
    assert codes(tmp_path, "project: rides\ninclude: [more.yaml]\n", more=f"{SETTINGS}datasets: [\n") == ["spec.syntax"]


def test_settings_that_need_a_value_nobody_gave_are_not_left_out(tmp_path: Path) -> None:
    text = 'project: rides\nvariables: {uri: {type: string}}\ntracking: {uri: "${var.uri}"}\n'
    assert codes(tmp_path, text) == ["spec.missing-value"]


def test_secrets_of_what_was_made_are_known_and_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVE_TOKEN", "correct horse battery")
    found = around(tmp_path, "project: rides\ndatasets: {trips: 7}\n", ("env.SERVE_TOKEN", "env.GONE_TOKEN", "var.x"))
    assert found.secrets.values == {"env.SERVE_TOKEN": "correct horse battery"}
    assert redacted("Bearer correct horse battery") == "Bearer (sensitive)"

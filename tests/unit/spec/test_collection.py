from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.spec.toys import load, problems


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


MAIN = "project: x\ninclude: [more/*.yaml]\ndatasets: {a: {path: p}}\n"


@pytest.fixture
def more(tmp_path: Path) -> Path:
    folder = tmp_path / "more"
    folder.mkdir()
    return folder


def test_sections_of_all_files_are_one(tmp_path: Path, more: Path) -> None:
    (more / "b.yaml").write_text("datasets: {b: {path: q}}\ntracking: {retries: 1}\n")
    (more / "a.yaml").write_text("training: {t: {data: {labels: b}}}\n")
    (more / "empty.yaml").write_text("# nothing yet\n")
    project = load(tmp_path, MAIN)
    assert [str(address) for address in project.order] == ["datasets.a", "datasets.b", "training.t"]
    assert project.settings["tracking"]["retries"] == 1
    assert [path.name for path in project.files] == ["mlctl.yaml", "a.yaml", "b.yaml", "empty.yaml"]
    assert str(project.where(project.order[1])) == "more/b.yaml:1:12"


def test_a_file_is_read_once_however_often_it_is_named(tmp_path: Path, more: Path) -> None:
    (more / "a.yaml").write_text("datasets: {b: {path: q}}\n")
    project = load(tmp_path, "project: x\ninclude: ['*.yaml', 'more/a.yaml', 'more/*', '**/*.yaml']\n")
    assert [path.name for path in project.files] == ["mlctl.yaml", "a.yaml"]


def test_an_address_that_is_defined_twice_names_both_places(tmp_path: Path, more: Path) -> None:
    (more / "b.yaml").write_text("\ndatasets: {a: {path: q}}\n")
    (found,) = problems(tmp_path, MAIN)
    assert (found.code, found.summary) == ("spec.duplicate-address", "datasets.a is already defined at mlctl.yaml:3:12")
    assert str(found.where) == "more/b.yaml:2:12"


def test_settings_are_written_once(tmp_path: Path, more: Path) -> None:
    (more / "b.yaml").write_text("tracking: {}\n")
    (found,) = problems(tmp_path, MAIN + "tracking: {}\n")
    assert (found.code, found.summary) == ("spec.duplicate-key", "`tracking` is already set at mlctl.yaml:4:1")


@pytest.mark.parametrize("key", ["project: y", "owner: {team: t}", "include: ['*']"])
def test_what_is_said_once_stands_in_the_project_file(tmp_path: Path, more: Path, key: str) -> None:
    (more / "b.yaml").write_text(f"{key}\n")
    (found,) = problems(tmp_path, MAIN)
    assert (found.code, str(found.where)) == ("spec.misplaced", "more/b.yaml:1:1")


def test_problems_of_all_files_come_in_the_order_of_the_files(tmp_path: Path, more: Path) -> None:
    (more / "b.yaml").write_text("datasets: {c: {path: 1}}\n")
    (more / "a.yaml").write_text("datasets: [\n")
    places = [str(item.where) for item in problems(tmp_path, MAIN + "dataset: {}\n")]
    assert places == ["mlctl.yaml:4:1", "more/a.yaml:2:1", "more/b.yaml:1:22"]


@pytest.mark.parametrize(
    ("pattern", "code"),
    [
        ("'nothing/*.yaml'", "spec.missing-file"),
        ("missing.yaml", "spec.missing-file"),
        ("../*.yaml", "spec.path-outside"),
        ("/etc/*.yaml", "spec.path-outside"),
        ("more/../../x.yaml", "spec.path-outside"),
        ("'**x'", "spec.bad-value"),
        ("''", "spec.bad-value"),
        ("'.'", "spec.bad-value"),
        ("5", "spec.wrong-type"),
    ],
)
def test_patterns_that_name_no_file_of_the_project(tmp_path: Path, pattern: str, code: str) -> None:
    (found,) = problems(tmp_path, f"project: x\ninclude: [{pattern}]\n")
    assert found.code == code
    assert str(found.where).startswith("mlctl.yaml:2:")


def test_links_out_of_the_project_are_refused(tmp_path: Path, more: Path) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside.yaml"
    outside.write_text("datasets: {z: {path: p}}\n")
    (more / "link.yaml").symlink_to(outside)
    (found,) = problems(tmp_path, MAIN)
    assert (found.code, found.summary) == (
        "spec.path-outside",
        "more/link.yaml is a link that leaves the project folder",
    )
    outside.unlink()

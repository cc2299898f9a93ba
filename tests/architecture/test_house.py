"""Rules of the house that no linter knows."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mlctl import provider
from mlctl.cli.catalogue import commands
from mlctl.registry import Registry
from mlctl.spec.project import load_project

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "mlctl").rglob("*.py"))


def test_the_catalogue_names_every_command_and_no_other() -> None:
    files = {path.stem for path in (ROOT / "mlctl/cli/commands").glob("*.py")} - {"__init__"}
    assert files == set(commands())


def test_the_reference_is_what_the_program_says() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/gen_docs.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_worker_program_exists() -> None:
    text = (ROOT / "mlctl/runtime/__main__.py").read_text()
    programs = dict(re.findall(r'"(\w+)": "(mlctl\.runtime\.[\w.]+)"', text))
    assert programs
    for module in programs.values():
        assert (ROOT / (module.replace(".", "/") + ".py")).is_file(), module


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_stay_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


def test_the_public_names_are_these() -> None:
    names = {name for name, value in vars(provider).items() if getattr(value, "__module__", "") == "mlctl.provider"}
    assert {name for name in names if not name.startswith("_")} == {
        "Block", "Condition", "Context", "Describes", "Desired", "Family", "Input", "Keyed", "Kind", "Link", "Logs",
        "Observed", "Outcome", "Provided", "Reference", "Spec", "diff_fields", "flatten", "metadata_fields",
    }  # fmt: skip


def test_the_example_in_the_readme_is_a_project(tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    (tmp_path / "mlctl.yaml").write_text(block)
    assert len(load_project(tmp_path, Registry()).resources) == 9


@pytest.mark.parametrize("path", sorted((ROOT / "specs").glob("*/mlctl.yaml")), ids=lambda path: path.parent.name)
def test_every_example_is_a_project(path: Path) -> None:
    assert load_project(path.parent, Registry()).resources


def test_modules_import_without_the_heavy_extras() -> None:
    for path in SOURCES:
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if not module.startswith("mlctl.runtime"):
            importlib.import_module(module.removesuffix(".__init__"))


def test_the_lock_pins_every_package_and_names_no_path() -> None:
    lines = (ROOT / "requirements.lock").read_text().split()
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[\w.!+]+", line)] == []

"""Rules of the house that no linter knows."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mlctl import provider
from mlctl.cli.catalogue import commands
from mlctl.cli.dispatch import module_of
from mlctl.registry import Registry
from mlctl.spec.project import load_project

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "mlctl").rglob("*.py"))


def test_the_catalogue_names_every_command_and_no_other() -> None:
    files = {path.stem for path in (ROOT / "mlctl/cli/commands").glob("*.py")} - {"__init__"}
    assert files == {module_of(name) for name in commands()}


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
    names = {
        name
        for name, value in vars(provider).items()
        if getattr(value, "__module__", "") in ("mlctl.block", "mlctl.provider")
    }
    assert {name for name in names if not name.startswith("_")} == {
        "Approvable", "Block", "Blocks", "ChecksTogether", "Condition", "Context", "Describes", "Desired", "Estimates", "Family", "Importable", "Input",
        "Keyed", "Kind", "Lifecycle", "Link", "Logs", "LogsOfRanks", "Movable", "Observed", "Outcome", "Provided", "Reference", "Retries", "Spec",
        "diff_fields", "judges", "metadata_settings", "named_by_address", "used_by_definition",
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


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def links(page: Path) -> set[Path]:
    """The files of the repository that a page links to."""
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    return {(page.parent / target).resolve() for target in targets if "://" not in target}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_link_leads_somewhere(page: Path) -> None:
    assert [str(target) for target in links(page) if not target.exists()] == []


def test_the_readme_leads_to_every_guide_and_names_every_command() -> None:
    readme = ROOT / "README.md"
    assert set((ROOT / "docs/guides").glob("*.md")) - links(readme) == set()
    listed = readme.read_text().partition("## Commands")[2].partition("## ")[0]
    assert set(commands()) - set(re.findall(r"[a-z-]+", listed)) == set()


def test_a_number_names_one_decision() -> None:
    numbers = [path.name[:4] for path in (ROOT / "docs/adr").glob("*.md")]
    assert len(numbers) == len(set(numbers))

"""`mlctl init --provider` gives a package that installs, keeps the rules, and works in a project; broken ones are told about."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mlctl.testing.rules import Rule

ROOT = Path(__file__).parents[3]
Mlctl = Callable[..., str]


def run(*arguments: str, folder: Path, path: list[Path], code: int = 0) -> str:
    """Run Python in a folder with more on its path; give everything it said."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path)), "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as it was rendered."""
    folder = tmp_path_factory.mktemp("third")
    run("mlctl.cli.main", "init", "--provider", "wine-cellar", "--section", "bottles", folder=folder, path=[ROOT])
    return folder / "mlctl-wine-cellar"


@pytest.fixture(scope="module")
def site(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as pip installed it, by the build backend it names and from nothing but its folder."""
    target = tmp_path_factory.mktemp("site")
    pip = [
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
    ]
    run(*pip, "--target", str(target), ".", folder=package, path=[])
    return target


@pytest.fixture
def mlctl(site: Path, tmp_path: Path) -> Mlctl:
    """The real command line where the package is installed."""

    def call(*arguments: str, code: int = 0) -> str:
        return run("mlctl.cli.main", "-C", str(tmp_path), *arguments, folder=tmp_path, path=[site, ROOT], code=code)

    return call


def test_the_package_is_complete_and_tidy_as_it_is_rendered(package: Path, tmp_path: Path) -> None:
    run("mlctl.cli.main", "init", "--provider", "catalog", "tidy", folder=tmp_path, path=[ROOT])
    assert "All checks passed" in run("ruff", "check", ".", folder=tmp_path / "tidy", path=[ROOT])
    assert "already formatted" in run("ruff", "format", "--check", ".", folder=tmp_path / "tidy", path=[ROOT])
    assert "@@" not in "".join(
        path.read_text() for path in package.rglob("*") if path.suffix in (".py", ".md", ".toml")
    )


@pytest.mark.tools
def test_its_own_tests_pass_and_report_each_rule_of_kinds(package: Path, site: Path) -> None:
    path = [site, ROOT]
    options = ["-v", "-W", "error", "-p", "no:cacheprovider", *_plugin(path)]
    said = run("pytest", *options, folder=package, path=path)
    passed = set(re.findall(r"test_rule\[(\w+)\] PASSED", said))
    assert passed == {rule.name.lower() for rule in Rule}
    assert "test_an_entry_lives_from_apply_to_destroy PASSED" in said


@pytest.mark.tools
def test_a_project_uses_its_section_with_a_dataset_of_ours(mlctl: Mlctl, site: Path, tmp_path: Path) -> None:
    (tmp_path / "visits.csv").write_text("visit_id,bought\n1,0\n2,1\n")
    (tmp_path / "mlctl.yaml").write_text(
        "project: cellar\nwine_cellar: {path: cellar.db}\ndatasets:\n  visits: {path: visits.csv}\n"
        "bottles:\n  visits: {entry: visits, title: Visits, dataset: visits}\n"
    )
    mlctl("apply", "--auto-approve")
    assert "bottles.visits" in mlctl("status")
    assert "No changes." in mlctl("plan")
    (tmp_path / "visits.csv").write_text("visit_id,bought\n1,0\n2,1\n3,1\n")
    assert "bottles.visits" in mlctl("plan")  # its input may change
    assert '"wine_cellar"' in run("mlctl.cli.main", "schema", folder=tmp_path, path=[site, ROOT])
    mlctl("destroy", "--auto-approve")


def test_a_setting_with_a_typo_is_refused_by_its_model(mlctl: Mlctl, tmp_path: Path) -> None:
    (tmp_path / "mlctl.yaml").write_text("project: cellar\nwine_cellar: {pth: cellar.db}\n")
    said = mlctl("validate", code=1)
    assert "did you mean `path`?" in said
    assert "mlctl.yaml:2" in said


def test_init_overwrites_nothing_and_refuses_bad_names(package: Path, site: Path) -> None:
    before = (package / "pyproject.toml").read_bytes()
    for arguments, said in (
        (["--provider", "wine-cellar", "--section", "other", package.name], "init.exists"),
        (["--provider", "Wine!"], "init.bad-name"),
        (["--provider", "x", "--section", "No"], "init.bad-name"),
        (["--provider", "x", "--section", "training"], "init.taken"),
        (["--provider", "tracking"], "init.taken"),
        (["--section", "bottles"], "cli.usage"),
    ):
        found = run("mlctl.cli.main", "init", *arguments, folder=package.parent, path=[ROOT], code=1)
        assert said in found, found
    found = run(
        "mlctl.cli.main", "init", "--provider", "y", "--section", "bottles", folder=package, path=[site, ROOT], code=1
    )
    assert "an installed package has the section `bottles` already" in found
    assert (package / "pyproject.toml").read_bytes() == before


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def (:\n", ["kind.broken", "SyntaxError"]),
        ("raise RuntimeError('no licence')\n", ["kind.broken", "RuntimeError: no licence"]),
        ("import surely_not_installed\n", ["extra.missing", "pip install surely_not_installed"]),
        ("from mlctl.provider import Future\n", ["kind.api", "cannot import name 'Future'"]),
        ("class Kind:\n    section = 'lies'\n", ["kind.broken", "it does not have all the methods"]),
        ("class Kind:\n    api_version = '2.0'\n", ["kind.api", "version 2.0", "this mlctl has version 1.0"]),
        ("class Kind:\n    api_version = 2\n", ["kind.broken", "`api_version` is 2"]),
        ("Kind = lambda: 1 / 0\n", ["kind.broken", "ZeroDivisionError"]),
        ("from mlctl_wine_cellar.entry import WineCellarEntry as Kind\n", ["kind.broken", "the kind of `bottles`"]),
    ],
    ids=["syntax", "raises", "needs", "newer-name", "half", "newer-api", "odd-api", "constructor", "lies"],
)
def test_a_package_that_does_not_work_is_told_about(site: Path, tmp_path: Path, code: str, said: list[str]) -> None:
    broken = _installed(tmp_path, "broken_kind", "lies", code)
    (tmp_path / "mlctl.yaml").write_text("project: p\nlies:\n  a: {}\n")
    found = run(
        "mlctl.cli.main", "-C", str(tmp_path), "validate", folder=tmp_path, path=[broken, site, ROOT], code=1
    )  # fmt: skip
    assert "`lies`" in found
    for part in said:
        assert part in found
    assert "Traceback" not in found


def test_two_packages_with_one_section_conflict(site: Path, tmp_path: Path) -> None:
    other = _installed(tmp_path, "other_kind", "bottles", "")
    (tmp_path / "mlctl.yaml").write_text("project: p\nbottles:\n  a: {entry: a, title: A}\n")
    found = run("mlctl.cli.main", "-C", str(tmp_path), "plan", folder=tmp_path, path=[other, site, ROOT], code=1)
    assert "two installed packages define `bottles`" in found
    assert "`mlctl_wine_cellar.entry:WineCellarEntry` and `other_kind:Kind`" in found


def _installed(folder: Path, module: str, section: str, code: str) -> Path:
    """What pip leaves of a package of one module."""
    site = folder / "site"
    metadata = site / f"{module}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (site / f"{module}.py").write_text(code)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[mlctl.kinds]\n{section} = {module}:Kind\n")
    return site


def _plugin(path: list[Path]) -> list[str]:
    """Name the plugin where the mlctl that is installed does not do so by its entry point, such as in a bare checkout."""
    program = (
        "from importlib.metadata import entry_points as e; print([x.value for x in e(group='pytest11', name='mlctl')])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    return [] if "mlctl.testing.plugin" in done.stdout else ["-p", "mlctl.testing.plugin"]

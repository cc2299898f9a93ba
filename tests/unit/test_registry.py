from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest

from mlctl.registry import KINDS, SETTINGS, Registry
from mlctl.types.diagnostic import Diagnostic, MlctlError
from tests.unit.spec.toys import SETTINGS as TOY_SETTINGS
from tests.unit.spec.toys import DatasetSpec, Toy, Tracking


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A registry over entry points of modules in a folder, as an installed package of a third party would have them."""
    (tmp_path / "third_good.py").write_text(
        "from tests.unit.spec.toys import DatasetSpec, Toy, Tracking\n"
        "def tables():\n    return Toy('tables', DatasetSpec)\n"
        "def misnamed():\n    return Toy('other', DatasetSpec)\n"
        "class Half:\n    section = 'half'\n"
        "class Next:\n    api_version = '2.0'\n"
        "class Odd:\n    api_version = 'soon'\n"
        "class Minor(Toy):\n    api_version = '1.7'\n    def __init__(self):\n        super().__init__('minor', DatasetSpec)\n"
        "class Untyped(Toy):\n    def __init__(self):\n        super().__init__('untyped', dict)\n"
        "def made():\n    kind = Toy('made', DatasetSpec)\n    kind.api_version = '3.1'\n    return kind\n"
        "def raises():\n    raise RuntimeError('no licence')\n"
    )
    (tmp_path / "third_needs.py").write_text("import surely_not_installed.part\n")
    (tmp_path / "third_syntax.py").write_text("def (:\n")
    (tmp_path / "third_future.py").write_text("from mlctl.provider import NotYet\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    entries = [
        EntryPoint("tables", "third_good:tables", KINDS),
        EntryPoint("misnamed", "third_good:misnamed", KINDS),
        EntryPoint("half", "third_good:Half", KINDS),
        EntryPoint("raises", "third_good:raises", KINDS),
        EntryPoint("absent", "third_good:Nothing", KINDS),
        EntryPoint("gone", "third_gone.kinds:Gone", KINDS),
        EntryPoint("needs", "third_needs:Needs", KINDS),
        EntryPoint("syntax", "third_syntax:Syntax", KINDS),
        EntryPoint("next", "third_good:Next", KINDS),
        EntryPoint("odd", "third_good:Odd", KINDS),
        EntryPoint("minor", "third_good:Minor", KINDS),
        EntryPoint("untyped", "third_good:Untyped", KINDS),
        EntryPoint("made", "third_good:made", KINDS),
        EntryPoint("future", "third_future:Future", KINDS),
        EntryPoint("twice", "third_good:tables", KINDS),
        EntryPoint("twice", "third_other:tables", KINDS),
        EntryPoint("tracking", "third_good:Tracking", SETTINGS),
        EntryPoint("no_model", "third_good:tables", SETTINGS),
    ]

    monkeypatch.setattr("importlib.metadata.entry_points", lambda: EntryPoints(entries))
    return Registry()


def refused(call: Any, name: str) -> Diagnostic:
    with pytest.raises(MlctlError) as caught:
        call(name)
    (diagnostic,) = caught.value.diagnostics
    assert f"`{name}`" in diagnostic.summary
    return diagnostic


def test_a_kind_is_made_once(installed: Registry) -> None:
    kind = installed.kind("tables")
    assert kind.section == "tables"
    assert installed.kind("tables") is kind
    assert installed.settings_model("tracking") is Tracking


def test_names_are_known_without_an_import(installed: Registry) -> None:
    assert "syntax" in installed.sections()
    assert list(installed.settings()) == ["no_model", "tracking"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("misnamed", "it calls itself the kind of `other`"),
        ("half", "it does not have all the methods of `mlctl.provider.Kind`"),
        ("raises", "RuntimeError: no licence"),
        ("absent", "AttributeError: module 'third_good' has no attribute 'Nothing'"),
        ("gone", "there is no module `third_gone`"),
        ("untyped", "its `spec` is no class derived from `mlctl.provider.Spec`"),
        ("odd", "its `api_version` is 'soon'; it is a text such as `1.0`"),
    ],
)
def test_a_kind_that_does_not_work_is_told_about(installed: Registry, name: str, why: str) -> None:
    found = refused(installed.kind, name)
    assert (found.code, found.why) == ("kind.broken", why)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("next", "it says that it was written for version 2.0 of `mlctl.provider`"),
        ("made", "it says that it was written for version 3.1 of `mlctl.provider`"),
        ("future", "cannot import name 'NotYet' from 'mlctl.provider'"),
    ],
)
def test_a_kind_of_a_newer_major_version_is_refused_by_its_word(installed: Registry, name: str, why: str) -> None:
    found = refused(installed.kind, name)
    assert found.code == "kind.api"
    assert why in found.why
    assert "this mlctl has version 1.0" in found.why


def test_a_kind_of_a_newer_minor_version_works(installed: Registry) -> None:
    assert installed.kind("minor").section == "minor"


def test_a_syntax_error_of_a_third_party_is_no_traceback(installed: Registry) -> None:
    assert refused(installed.kind, "syntax").why.startswith("SyntaxError:")


def test_a_missing_package_comes_with_the_line_that_installs_it(installed: Registry) -> None:
    found = refused(installed.kind, "needs")
    assert (found.code, found.fix) == ("extra.missing", "pip install surely_not_installed")


def test_a_missing_package_of_ours_comes_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(self: EntryPoint) -> Any:
        raise ModuleNotFoundError("No module named 'duckdb'", name="duckdb")

    # Once some library has imported the backport importlib_metadata, what is installed comes as entry points of its class.
    ours = [
        EntryPoint("datasets", "mlctl.providers.local:Datasets", KINDS),
        EntryPoint("training", "mlctl.providers.torch:Training", KINDS),
    ]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda: EntryPoints(ours))
    monkeypatch.setattr(EntryPoint, "load", load)
    assert refused(Registry().kind, "datasets").fix == "pip install 'mlctl[data]'"
    assert refused(Registry().kind, "training").fix == "pip install 'mlctl[train]'"


def test_two_packages_with_one_name_are_a_conflict(installed: Registry) -> None:
    found = refused(installed.kind, "twice")
    assert found.code == "kind.conflict"
    assert "`third_good:tables` and `third_other:tables`" in found.why


def test_what_is_not_installed_is_said_so(installed: Registry) -> None:
    found = refused(installed.kind, "table")
    assert (found.code, found.fix) == ("kind.missing", "did you mean `tables`?")
    assert refused(installed.settings_model, "store").code == "kind.broken"
    assert refused(installed.settings_model, "no_model").why == "it is no pydantic model"


def test_of_knows_only_what_it_is_given() -> None:
    registry = Registry.of(Toy("datasets", DatasetSpec), settings=TOY_SETTINGS)
    assert (list(registry.sections()), list(registry.settings())) == (["datasets"], ["tracking"])
    assert registry.settings_model("tracking") is Tracking
    assert refused(registry.kind, "training").code == "kind.missing"


def test_our_own_sections_are_installed_and_listing_them_imports_no_kind() -> None:
    code = (
        "import sys; from mlctl.registry import Registry; names = Registry().sections(); "
        "print(','.join(names)); print([name for name in sys.modules if name.startswith('mlctl.providers.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names, imported = done.stdout.splitlines()
    assert {"datasets", "training", "deployments", "schedules"} <= set(names.split(","))
    assert imported == "[]"

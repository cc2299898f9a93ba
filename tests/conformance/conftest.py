"""The kind of docs/guides/providers.md, as a reader of the guide would have it: two files and an entry point."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from mlctl.processes import worker
from tests import nursery

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "providers.md"
FILES = ("mlctl_data_cards.py", "test_data_cards.py", "foreseen.py")


@pytest.fixture(scope="session")
def guide_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of the guide as files."""
    folder = tmp_path_factory.mktemp("guide")
    for name, code in zip(FILES, re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL), strict=True):
        (folder / name).write_text(code)
    return folder


@pytest.fixture(scope="session")
def guide_metadata(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `pip install` would leave beside them; apart, so that this process does not see a kind installed."""
    folder = tmp_path_factory.mktemp("metadata")
    (entry_points,) = re.findall(r"```toml\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    installed = folder / "mlctl_data_cards-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: mlctl-data-cards\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(
        entry_points.replace('[project.entry-points."mlctl.kinds"]', "[mlctl.kinds]").replace('"', "")
    )
    return folder


@pytest.fixture(scope="session")
def guide(guide_folder: Path) -> Iterator[ModuleType]:
    """The guide's test module, with its kind."""
    sys.path.insert(0, str(guide_folder))
    yield importlib.import_module("test_data_cards")
    sys.path.remove(str(guide_folder))


@pytest.fixture(scope="session")
def guide_estimates(guide_folder: Path) -> Iterator[ModuleType]:
    """The guide's kind that foresees what it takes."""
    sys.path.insert(0, str(guide_folder))
    yield importlib.import_module("foreseen")
    sys.path.remove(str(guide_folder))


@pytest.fixture(scope="package", autouse=True)  # other tests of this process have programs of their own making
def _programs_are_born_with_their_libraries() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "subprocess", nursery.Subprocess)
        yield

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.serving.project import Project, ended, run_script


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serving")
    run_script("make_models.py", folder, "models")
    return folder / "models"


@pytest.fixture
def project(tmp_path: Path, models: Path) -> Iterator[Project]:
    yield from ended(Project(tmp_path, models))

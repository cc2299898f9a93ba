"""Two small models, made once, and a project folder with them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.batch.project import BatchProject
from tests.integration.serving.project import run_script


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    run_script("make_models.py", folder, "models")
    return folder / "models"


@pytest.fixture
def project(tmp_path: Path, models: Path) -> Iterator[BatchProject]:
    made = BatchProject(tmp_path, models)
    try:
        yield made
    finally:
        made.end()

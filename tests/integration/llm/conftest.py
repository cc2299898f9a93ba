from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.llm.project import Project, ended


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    yield from ended(Project(tmp_path))

from pathlib import Path

import pytest

from mlctl.provider import Context
from mlctl.testing.harness import make_context


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return make_context(tmp_path, project="quickstart")

"""The parts that need heavy libraries, each in a process of its own: their imports warn, and stay loaded."""

from __future__ import annotations

import pytest

from tests.integration.training import language

pytestmark = pytest.mark.tools


@pytest.mark.parametrize("part", ["parts", "weights", "metrics", "models"])
def test_part(part: str) -> None:
    language.run(1, "tests.integration.training.check_parts", part)

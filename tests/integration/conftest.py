from __future__ import annotations

from collections.abc import Iterator

import pytest

from mlctl.processes import worker
from tests import nursery


@pytest.fixture(scope="session", autouse=True)
def _programs_are_born_with_their_libraries() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "subprocess", nursery.Subprocess)
        yield

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mlctl.processes import worker
from tests import nursery


@pytest.fixture(scope="package", autouse=True)  # other tests of this process have programs of their own making
def _programs_are_born_with_their_libraries() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "subprocess", nursery.Subprocess)
        yield

"""The code that decided has a name, which changes with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlctl import __version__
from mlctl.files import decision_code


def test_it_names_the_version_and_does_not_depend_on_the_order() -> None:
    one = decision_code.code_of(["mlctl.stats.srm", "mlctl.stats.multiple"])
    assert one == decision_code.code_of(["mlctl.stats.multiple", "mlctl.stats.srm", "mlctl.stats.srm"])
    assert one.startswith(f"{__version__} ")
    assert one != decision_code.code_of(["mlctl.stats.srm"])


def test_another_source_is_another_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    found = []
    for text in ("A = 1\n", "A = 2\n"):
        (tmp_path / "a_decider.py").write_text(text)
        decision_code._source.cache_clear()
        found.append(decision_code.code_of(["a_decider"]))
    assert found[0] != found[1]


def test_a_module_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ModuleNotFoundError):
        decision_code.code_of(["mlctl.stats.nowhere"])

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import pytest

from mlctl.launch import environments
from mlctl.types.diagnostic import MlctlError
from mlctl.types.environments import (
    ENVIRONMENTS,
    READY_FILE,
    Pinned,
    environment_folder,
    environment_python,
    environment_ready,
)

pytestmark = [pytest.mark.tools, pytest.mark.slow]


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A package that pip installs without asking anybody."""
    path = tmp_path / "tiny_tool-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as stream:
        stream.writestr("tiny_tool.py", "ANSWER = 42\n")
        stream.writestr("tiny_tool-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-tool\nVersion: 1.0\n")
        stream.writestr(
            "tiny_tool-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        stream.writestr("tiny_tool-1.0.dist-info/RECORD", "tiny_tool.py,,\n")
    return path


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_an_environment_is_made_once_and_anew_when_half_made(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENVIRONMENTS, "tiny", Pinned("1.0", (str(wheel),), "a test"))
    told: list[str] = []
    half = environment_folder("tiny")
    half.mkdir(parents=True)
    (half / "torn").touch()
    python = environments.install("tiny", told.append)
    assert python == environment_python("tiny")
    assert environment_ready("tiny")
    assert not (half / "torn").exists()
    assert told
    said = subprocess.run(
        [str(python), "-c", "import tiny_tool; print(tiny_tool.ANSWER)"], capture_output=True, text=True, check=True
    )
    assert said.stdout == "42\n"
    before = (half / READY_FILE).stat().st_mtime_ns
    told.clear()
    assert environments.install("tiny", told.append) == python
    assert not told
    assert (half / READY_FILE).stat().st_mtime_ns == before


def test_what_cannot_be_installed_does_not_count_and_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "empty"))
    monkeypatch.setitem(ENVIRONMENTS, "tiny", Pinned("1.0", ("tiny-tool==1.0",), "a test"))
    with pytest.raises(MlctlError) as caught:
        environments.install("tiny", print)
    (found,) = caught.value.diagnostics
    assert found.code == "engine.not-installed"
    assert "package index" in found.fix
    assert not environment_ready("tiny")


def test_a_name_that_is_not_known_is_refused_with_the_nearest() -> None:
    with pytest.raises(MlctlError) as caught:
        environments.install("skypilto", print)
    assert caught.value.diagnostics[0].fix == "did you mean `skypilot`?"


def test_dependencies_that_do_not_work_are_taken_out_and_names_that_are_asked_for_put_in(
    wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = "import importlib.metadata as m, importlib.util as u; assert m.version('big-tool') == '2.0+cpu'; "
    look += "assert u.find_spec('tiny_tool') is None"
    made = Pinned(
        "1.0",
        (str(wheel),),
        "a test",
        removed=("tiny-tool", "not-there"),
        named=(("big_tool", "2.0+cpu"),),
        proof=("-c", look),
    )
    monkeypatch.setitem(ENVIRONMENTS, "tiny", made)
    environments.install("tiny", print)
    assert environment_ready("tiny")


def test_packages_for_another_system_are_refused_before_anything_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENVIRONMENTS, "tiny", Pinned("1.0", ("tiny-tool",), "a test", needs="Plan9"))
    with pytest.raises(MlctlError) as caught:
        environments.install("tiny", print)
    assert caught.value.diagnostics[0].code == "engine.other-system"

"""The logs of a deployment's processes."""

from __future__ import annotations

from pathlib import Path

from mlctl.runtime.controller.logs import Logs


def test_the_logs_of_controller_gateway_and_releases_are_all_kept_short(tmp_path: Path) -> None:
    places = [tmp_path, tmp_path / "gateway" / "envoy", tmp_path / "releases" / "1", tmp_path / "releases" / "2"]
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
        (place / "log.txt").write_text("a line\n")
    logs = Logs(tmp_path, most=3)
    logs.look()
    assert [(place / "log.old.txt").read_text() for place in places] == ["a line\n"] * 4
    assert [(place / "log.txt").read_text() for place in places] == [""] * 4

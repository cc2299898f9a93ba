"""What servers write into the prediction log is what an analysis reads from it."""

from __future__ import annotations

from pathlib import Path

from mlctl.runtime.middleware.call import Call
from mlctl.runtime.middleware.record import log_rows
from mlctl.runtime.middleware.settings import Settings
from tests.unit.runtime.experiment.world import Data, sums, when

SETTINGS = Settings("api", "shops", "3", behind_gateway=True, unit_header="x-user")


def line(user: str, arm: str, *, code: int = 200, propensity: bytes = b"0.5", rows: int = 1) -> list[dict[str, object]]:
    """The lines of a request as the gateway passes it on."""
    headers = [(b"x-user", user.encode()), (b"x-mlctl-variant", arm.encode()), (b"x-mlctl-bucket", b"17")]
    if propensity:
        headers.append((b"x-mlctl-propensity", propensity))
    call = Call(headers, b"x-user", behind_gateway=True)
    call.code = code
    call.rows = [
        {"key": n, "features": {"country": "de", "age": 30}, "score": 0.5, "prediction": 1} for n in range(rows)
    ]
    return list(log_rows(call, SETTINGS, 0.25))


def test_arms_units_errors_and_features_are_those_of_the_requests(tmp_path: Path) -> None:
    lines = [
        *line("anna", "control", rows=3), *line("jürgen", "treatment", code=503), *line("jürgen", "treatment"),
        *line("preview", "treatment", propensity=b""),
    ]  # fmt: skip
    shown = [{**one, "ts": when(1)} for one in lines]
    outcomes = [["anna", when(2), 3], ["jürgen", when(3), 4]]
    found = Data(tmp_path).read_log(shown, outcomes, operations=["error_rate", "mean_seconds"], subgroups=["country"])
    assert found["exposures"] == {"rows": 6, "units": 2, "crossed": 0, "chosen_by_client": 1}
    assert found["segments"] == {"country": {"de": {"control": 1, "treatment": 1}}}
    assert (sums(found, "control")["y"], sums(found, "treatment")["y"]) == (3, 4)
    assert sums(found, "control", "error_rate") == {
        "n": 1,
        "y": 0,
        "yy": 0,
        "d": 1,
        "dd": 1,
        "yd": 0,
    }  # three rows, one request
    assert sums(found, "treatment", "error_rate")["y"] == 1
    assert sums(found, "control", "mean_seconds")["y"] == 0.25

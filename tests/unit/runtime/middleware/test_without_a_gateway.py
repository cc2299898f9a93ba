"""A server that clients ask directly: what only a gateway can know is not believed of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.runtime.middleware.client import around, ask, echo, rows, run

CLAIMS = [("x-mlctl-variant", "candidate"), ("x-mlctl-bucket", "1234"), ("x-mlctl-propensity", "0.25")]
TAKEN = {"role": "canary", "variant": "candidate", "bucket": 1234, "propensity": 0.25}


@pytest.mark.parametrize("behind_gateway", [True, False])
def test_a_variant_a_place_and_a_share_are_believed_only_behind_a_gateway(tmp_path: Path, behind_gateway: bool) -> None:
    app = around(echo(), log_folder=str(tmp_path), behind_gateway=behind_gateway)
    answer = run(ask(app, headers=[*CLAIMS, ("x-request-id", "mine")]))
    app.close()
    [row] = rows(tmp_path)
    believed = {name: row.get(name) for name in TAKEN}
    nothing = {"role": "stable", "variant": "stable", "bucket": None, "propensity": None}
    assert believed == (TAKEN if behind_gateway else nothing)
    assert (answer.headers["x-request-id"], row["request_id"]) == ("mine", "mine")


@pytest.mark.parametrize("behind_gateway", [True, False])
def test_no_client_names_the_version_that_a_server_without_adapters_answers_by(
    tmp_path: Path, behind_gateway: bool
) -> None:
    app = around(echo(), log_folder=str(tmp_path), behind_gateway=behind_gateway)
    run(ask(app, headers=[("x-mlctl-version", "99"), ("x-mlctl-model", "other")]))
    app.close()
    assert [row["version"] for row in rows(tmp_path)] == ["3"]


@pytest.mark.parametrize("host", ["api-shadow", "[::1]-shadow:8080"])
def test_nobody_passes_for_a_copy_without_a_gateway(tmp_path: Path, host: str) -> None:
    app = around(echo(), log_folder=str(tmp_path), behind_gateway=False)
    run(ask(app, headers=[("host", host)]))
    app.close()
    assert [row["role"] for row in rows(tmp_path)] == ["stable"]
    assert app.counts()["variants"]["stable"]["requests"] == 1


@pytest.mark.parametrize("host", ["api", "api:8080", "[::1]:8080", "[::1]", "shadow:1", "api-shadow.example:80"])
def test_a_host_of_another_name_is_no_copy(host: str) -> None:
    app = around(echo())
    run(ask(app, headers=[("host", host)]))
    assert app.counts()["variants"]["stable"]["requests"] == 1

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlctl.runtime.middleware import trace
from mlctl.runtime.middleware.call import Call, unit_hash
from mlctl.stats import assignment
from tests.unit.runtime.middleware.client import around, ask, echo, rows, run

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UUID = "8f14e45f-ceea-467f-a9d6-5a1b2c3d4e5f"


def test_the_trace_of_who_asks_is_taken_over_and_passed_back(tmp_path: Path) -> None:
    app = around(echo(), log_folder=str(tmp_path))
    answer = run(ask(app, headers=[("traceparent", PARENT)]))
    app.close()
    version, trace_id, span_id, flags = answer.headers["traceparent"].split("-")
    assert (version, trace_id, flags) == ("00", "0af7651916cd43dd8448eb211c80319c", "01")
    assert span_id != "b7ad6b7169203331"
    assert rows(tmp_path)[0]["trace_id"] == trace_id


@pytest.mark.parametrize(
    "given",
    [
        "", "00-abc-def-01", PARENT.upper(), f"ff{PARENT[2:]}", f"00-{'0' * 32}-b7ad6b7169203331-01", f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01",
        PARENT.replace("-01", "-0x"), PARENT + "extra",
    ],
)  # fmt: skip
def test_what_is_no_traceparent_begins_a_trace_of_its_own(given: str) -> None:
    found = trace.begin(given.encode(), UUID, 0.0)
    assert (found.trace_id, found.parent_id, found.sampled) == (UUID.replace("-", ""), None, False)


def test_a_later_version_of_the_header_is_read_as_far_as_we_know_it() -> None:
    found = trace.begin(b"01" + PARENT[2:].encode() + b"-more", "r", 0.0)
    assert (found.trace_id, found.parent_id, found.sampled) == (
        "0af7651916cd43dd8448eb211c80319c",
        "b7ad6b7169203331",
        True,
    )


def test_a_request_leads_to_its_trace_and_copies_share_it() -> None:
    headers = [(b"x-request-id", b"order-17")]
    one, two = Call(headers), Call([*headers, (b"host", b"api-shadow:80")], behind_gateway=True)
    assert one.trace.trace_id == two.trace.trace_id == trace.trace_id_of("order-17")
    assert one.trace.span_id != two.trace.span_id
    assert trace.trace_id_of("00000000-0000-0000-0000-000000000000").strip("0")


def test_of_traces_that_begin_here_the_share_asked_for_is_sampled() -> None:
    calls = [Call((), None, 0.25) for _ in range(4000)]
    sampled = sum(call.trace.sampled for call in calls)
    assert 880 <= sampled <= 1120  # 1000, four standard errors
    assert not any(Call((), None, 0.0).trace.sampled for _ in range(100))


def test_who_asks_decides_about_sampling() -> None:
    assert trace.begin(PARENT.encode(), "r", 0.0).sampled
    assert not trace.begin(PARENT.replace("-01", "-00").encode(), "r", 1.0).sampled


@pytest.mark.parametrize("unit", ["u-17", "Zoë", "\U0001f600", "a b"])
def test_a_unit_is_logged_by_the_hash_that_the_analysis_joins_by(tmp_path: Path, unit: str) -> None:
    assert unit_hash(unit.encode()) == assignment.unit_hash(unit)
    call = Call([(b"user-id", unit.encode())], b"user-id")
    assert call.unit == assignment.unit_hash(unit)


def test_a_unit_is_read_as_the_gateways_read_it() -> None:
    assert Call([(b"user-id", b"\xe9")], b"user-id").unit == assignment.unit_hash("é")  # Latin-1
    assert Call([(b"user-id", b"a"), (b"user-id", b"b")], b"user-id").unit == assignment.unit_hash("a,b")
    assert Call([(b"user-id", b"")], b"user-id").unit is None
    assert Call([(b"user-id", b"a")]).unit is None


def test_the_log_has_the_unit_where_the_header_is_known(tmp_path: Path) -> None:
    app = around(echo(), log_folder=str(tmp_path), unit_header="X-User", feature_ref={"spending": "1f2e"})
    run(ask(app, headers=[("x-user", "u-1")]))
    run(ask(app))
    app.close()
    found = rows(tmp_path)
    assert [row.get("unit") for row in found] == [assignment.unit_hash("u-1"), None]
    assert {json.dumps(row["feature_ref"]) for row in found} == {'{"spending": "1f2e"}'}


def test_a_copy_has_no_propensity_of_the_one_that_answers() -> None:
    headers: list[tuple[bytes, bytes]] = [(b"x-mlctl-propensity", b"0.25")]
    assert Call(headers, behind_gateway=True).propensity == 0.25
    assert Call([*headers, (b"host", b"api-shadow")], behind_gateway=True).propensity is None


def test_a_failure_is_logged_with_its_trace(tmp_path: Path) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("no")

    app = around(broken, log_folder=str(tmp_path))
    with pytest.raises(RuntimeError):
        run(ask(app, headers=[("traceparent", PARENT)]))
    app.close()
    [row] = rows(tmp_path)
    assert (row["code"], row["trace_id"], row["score"]) == (500, "0af7651916cd43dd8448eb211c80319c", None)

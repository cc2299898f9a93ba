"""The gate, the outputs and the labels that come of verdicts."""

from pathlib import Path

import pytest

from mlctl.runtime.checks import quarantine
from mlctl.runtime.checks.checker_table import roughly
from mlctl.runtime.checks.executor import Refused, refuse_other_tables
from mlctl.runtime.checks.program import found, read_contract, verdict_of
from mlctl.runtime.checks.verdict import Verdict
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.checks import ChecksParams
from mlctl.types.jobs.profile import Source

GOOD = Verdict("unique", ["id"], True)
BAD = Verdict("range", ["a"], False, reason="no", failing_rows=1, where="x")
WARNED = Verdict("set", ["b"], False, reason="odd", severity="warn", failing_rows=2, where="y")


@pytest.mark.parametrize(
    ("verdicts", "passed", "summary", "lines"),
    [
        ([GOOD], True, "1 rule passed", ()),
        ([GOOD, GOOD, WARNED], True, "2 of 3 rules passed, 1 warning", ("set b [warn]: odd",)),
        ([WARNED, BAD, GOOD], False, "1 of 3 rules failed, 1 warning", ("range a: no", "set b [warn]: odd")),
        ([BAD, BAD], False, "2 of 2 rules failed", ("range a: no", "range a: no")),
    ],
)
def test_only_a_rule_of_severity_error_closes_the_gate(
    verdicts: list[Verdict], passed: bool, summary: str, lines: tuple[str, ...]
) -> None:
    gate = verdict_of(verdicts, None)
    assert (gate.passed, gate.summary, gate.details) == (passed, summary, lines)


def test_the_gate_says_where_the_quarantine_is() -> None:
    gate = verdict_of([BAD], {"path": "q.parquet", "rows": 1000, "offending": 2500})
    assert gate.details[-1] == "quarantine: 1,000 of 2,500 offending rows in q.parquet"


def test_outputs_hold_the_moment_at_which_the_first_rule_stops_holding() -> None:
    asked = ChecksParams(
        dataset="d", source=Source(files=[], format="csv", columns={}), source_digest="x", rules=[], report="r"
    )
    fresh = [Verdict("freshness", ["t"], True, fresh_until=f"2026-0{month}-01T00:00:00Z") for month in (3, 2, 4)]
    outputs = found(asked, 1, [*fresh, GOOD], verdict_of(fresh, None), None)
    assert outputs["fresh_until"] == "2026-02-01T00:00:00Z"
    assert "fresh_until" not in found(asked, 1, [GOOD], verdict_of([GOOD], None), None)
    assert "quarantine" not in outputs
    assert "where" not in outputs["rules"][0]


def test_rules_of_the_same_name_and_columns_are_told_apart_by_number() -> None:
    assert list(quarantine.labelled([BAD, GOOD, BAD])) == ["range a (rule 1)", "unique id", "range a (rule 3)"]


def test_a_contract_that_is_not_there_or_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(MlctlError) as caught:
        read_contract(str(tmp_path / "none.json"))
    assert caught.value.diagnostics[0].code == "data.no-contract"
    (tmp_path / "bad.json").write_text('{"format": 1}')
    with pytest.raises(MlctlError) as caught:
        read_contract(str(tmp_path / "bad.json"))
    assert caught.value.diagnostics[0].code == "data.bad-contract"


def test_a_query_may_name_its_datasets_and_its_own_tables_only() -> None:
    def tree(*tables: dict[str, object]) -> dict[str, object]:
        return {"node": {"cte_map": {"map": [{"key": "Own", "value": {}}]}, "from_table": list(tables)}}

    base = {"type": "BASE_TABLE", "table_name": "Orders", "schema_name": "", "catalog_name": ""}
    refuse_other_tables(tree(base, base | {"table_name": "own"}), ["orders"])
    for table, word in (
        (base | {"table_name": "users"}, "`users`"),
        (base | {"schema_name": "other"}, "`other.Orders`"),
        ({"type": "TABLE_FUNCTION", "function": {"function_name": "read_csv"}}, "read_csv"),
        ({"type": "SHOW_REF"}, "describes"),
    ):
        with pytest.raises(Refused, match=word):
            refuse_other_tables(tree(table), ["orders"])


@pytest.mark.parametrize(
    ("seconds", "text"), [(3, "3 seconds"), (61, "1 minute"), (7200, "2 hours"), (86400 * 3.5, "3 days")]
)
def test_ages_are_said_roughly(seconds: float, text: str) -> None:
    assert roughly(seconds) == text

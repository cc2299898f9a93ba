"""The lineage of columns: what objects tell is drawn from end to end, and what is around one column can be picked."""

import json
import re

import pytest

from mlctl.engine.ledger import Ledger
from mlctl.types.address import Address, ObjectKey
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import Record, State
from mlctl.views.html.lineage import render
from mlctl.views.human.lineage import dot, mermaid
from mlctl.views.lineage import Column, gather

EVIL = "</script>&'<img src=x>\"|"


def record(address: str, lineage: object) -> Record:
    return Record(ObjectKey(Address.parse(address), "k"), id="x", outputs={"lineage": lineage})


def ledger(*records: Record) -> Ledger:
    return Ledger(State("l", 1, {item.key: item for item in records}))


def told(*sources: tuple[str, str], how: str = "") -> dict[str, object]:
    return {"from": [list(source) for source in sources], "how": how}


CHAIN = (
    record("views.spend", {"spend_7d": told(("data.trips", "fare"), ("data.trips", "status"), how="sum over 7d")}),
    record("views.visits", {"visits": told(("data.logs", "id"))}),
    record("models.churn", {"prediction": told(("views.spend", "spend_7d"), ("data.labels", "churned"))}),
)


def test_columns_are_followed_from_the_data_to_the_model() -> None:
    found = gather(ledger(*CHAIN))
    assert {str(column): how for column, how in found.columns.items()} == {
        "data.labels:churned": "", "data.logs:id": "", "data.trips:fare": "", "data.trips:status": "",
        "models.churn:prediction": "", "views.spend:spend_7d": "sum over 7d", "views.visits:visits": "",
    }  # fmt: skip
    assert (Column(Address("data", "trips"), "fare"), Column(Address("views", "spend"), "spend_7d")) in found.arrows
    assert len(found.arrows) == 5


@pytest.mark.parametrize(
    ("of", "kept"),
    [
        ("data.trips:fare", {"data.trips:fare", "views.spend:spend_7d", "models.churn:prediction"}),
        ("views.visits", {"views.visits:visits", "data.logs:id"}),
        ("models.churn", {"models.churn:prediction", "views.spend:spend_7d", "data.trips:fare", "data.trips:status", "data.labels:churned"}),
    ],
)  # fmt: skip
def test_of_keeps_what_a_column_comes_from_and_goes_into(of: str, kept: set[str]) -> None:
    found = gather(ledger(*CHAIN)).around(of)
    assert set(map(str, found.columns)) == kept
    assert {column for arrow in found.arrows for column in arrow} <= set(found.columns)


def test_a_column_that_nobody_knows_is_named_with_what_is_near() -> None:
    with pytest.raises(MlctlError, match=r"data\.trips:fair") as error:
        gather(ledger(*CHAIN)).around("data.trips:fair")
    assert "data.trips:fare" in error.value.diagnostics[0].fix


@pytest.mark.parametrize(
    "lineage", [None, 3, ["a"], {"x": 3}, {"x": {"from": 3}}, {"x": {"from": [["a"], ["no address", "c"], [1, 2]]}}]
)
def test_an_output_of_another_shape_draws_no_arrow(lineage: object) -> None:
    assert gather(ledger(record("views.spend", lineage))).arrows == ()


def test_every_format_names_each_column_once_and_keeps_hostile_names_as_text() -> None:
    found = gather(ledger(*CHAIN, record("views.evil", {EVIL: told(("data.trips", EVIL), how=EVIL)})))
    drawn, page = dot(found), render(found, title=EVIL, environment="default")
    assert drawn.count(" -> ") == len(found.arrows) == mermaid(found).count(" --> ")
    assert drawn.count("[label=") == len(found.columns)
    assert page.count('class="node ') == len(found.columns)
    assert page.count('class="edge ') == len(found.arrows)
    assert "<img" not in page
    (panel,) = re.findall(r'id="told">(.*?)</script>', page, re.S)
    assert json.loads(panel)["views.spend:spend_7d"]["lists"][0][1] == [["of", "views.spend"], ["how", "sum over 7d"]]
    assert len(found.to_json()["columns"]) == len(found.columns)

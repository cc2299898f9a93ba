"""Feast views and entities that others declared: left alone, taken over when they fit, and given back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlctl.provider import Condition, Outcome
from mlctl.providers.feast.entity import Entity
from mlctl.providers.feast.feature_view import FeatureView
from mlctl.testing.harness import make_desired, make_record
from mlctl.types.diagnostic import Diagnostic, MlctlError
from mlctl.types.state import Pending, Record
from tests.conformance.chain import FEATURES, Chain, by_address
from tests.integration.features import driver

pytestmark = [pytest.mark.tools, pytest.mark.slow]

BLOCK: Mapping[str, Any] = {"entity": "household", "source": "events", "features": FEATURES, "online": True}
THEIR_TAGS = {"team": "theirs"}


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    """A project with a view that is in Feast, and that nobody has marked."""
    made = Chain(tmp_path)
    store = made.view.outputs["store"]
    driver.run(tmp_path, [{"do": "disown", "store": store, "tags": THEIR_TAGS}])
    yield made
    made.end()


def adopt(chain: Chain, id: str = "spending", **changed: Any) -> Outcome:
    desired = make_desired(FeatureView(), "feature_views.spending", {**BLOCK, **changed}, chain.ctx, by_address(chain.entity, chain.events))  # fmt: skip
    return FeatureView().adopt(desired, id, chain.ctx)


def refusal(call: Any) -> Diagnostic:
    with pytest.raises(MlctlError) as caught:
        call()
    return caught.value.diagnostics[0]


def everything(chain: Chain) -> tuple[Any, ...]:
    """The registry, the snapshots and the online table as they are."""
    outputs = chain.view.outputs
    (registry,) = driver.run(chain.root, [{"do": "registry", "store": outputs["store"]}])
    with closing(sqlite3.connect(chain.root / outputs["store"]["online"]["path"])) as database:
        rows = database.execute(f'SELECT * FROM "{outputs["evidence"]["online_table"]}" ORDER BY 1, 2').fetchall()
    return registry, (chain.root / outputs["offline"]).read_bytes(), rows


def test_apply_and_delete_leave_what_others_declared_as_it_is(chain: Chain) -> None:
    before = everything(chain)
    desired = make_desired(FeatureView(), "feature_views.spending", {**BLOCK, "ttl": "2d"}, chain.ctx, by_address(chain.entity, chain.events))  # fmt: skip
    wrong = refusal(lambda: FeatureView().apply(desired, None, chain.ctx))
    assert wrong.code == "provider.not-ours"
    assert "carries no mark of mlctl" in wrong.why
    assert "`mlctl import feature_views.spending spending`" in wrong.fix
    FeatureView().delete(replace(chain.view, id=None, outputs={}, pending=Pending.APPLY), chain.ctx)
    assert everything(chain) == before


def test_a_view_that_differs_is_refused_and_the_fields_are_named(chain: Chain) -> None:
    before = everything(chain)
    features = {**FEATURES, "largest_3d": {"aggregate": "max", "column": "amount", "window": "3d"}}
    wrong = refusal(lambda: adopt(chain, ttl="2d", features=features))
    assert wrong.code == "import.differs"
    assert "`features.largest_3d`" in wrong.summary
    assert "`ttl`" in wrong.summary
    other = {**FEATURES, "amount_3d": {"aggregate": "max", "column": "amount", "window": "3d"}}
    assert "are not what its source gives now" in refusal(lambda: adopt(chain, features=other)).summary
    assert refusal(lambda: adopt(chain, "shopping")).code == "import.differs"
    assert everything(chain) == before


def test_a_view_that_fits_gets_our_marks_and_is_given_back_by_destroy(chain: Chain) -> None:
    before, snapshots, rows = everything(chain)
    made = adopt(chain)
    written = {**made.outputs["evidence"], "online_written": chain.view.outputs["evidence"]["online_written"]}
    assert made.outputs["evidence"]["online_written"] == 0  # taking over writes no row
    # else as if mlctl had made it: nothing that uses it is made anew
    assert {**made.outputs, "evidence": written} == chain.view.outputs
    assert adopt(chain) == made
    registry, *files = everything(chain)
    assert files == [snapshots, rows]
    tags = registry["views"]["spending"]["tags"]
    assert tags == {**THEIR_TAGS, "mlctl.lineage": chain.ctx.lineage, "mlctl.object": "feature_views.spending#", "mlctl.adopted": "true"}  # fmt: skip
    record = replace(chain.view, outputs=made.outputs)
    seen = FeatureView().read(record, chain.ctx)
    assert seen is not None
    assert seen.condition is Condition.READY
    FeatureView().delete(record, chain.ctx)
    after, *files = everything(chain)
    assert (after, files) == (before, [snapshots, rows])


def test_a_view_that_was_taken_over_and_changed_is_still_given_back(chain: Chain) -> None:
    adopt(chain)
    changed = make_desired(FeatureView(), "feature_views.spending", {**BLOCK, "ttl": "2d"}, chain.ctx, by_address(chain.entity, chain.events))  # fmt: skip
    record: Record = make_record(changed, FeatureView().apply(changed, chain.view, chain.ctx))
    FeatureView().delete(record, chain.ctx)
    registry, *_ = everything(chain)
    assert registry["views"]["spending"] == {"ttl": 172800.0, "tags": THEIR_TAGS, "entities": ["household"]}
    assert registry["entity_tags"] == {"household": THEIR_TAGS}


def test_an_entity_is_taken_over_when_its_key_is_the_same(chain: Chain) -> None:
    kind = Entity()

    def take(**values: Any) -> Outcome:
        return kind.adopt(make_desired(kind, "entities.household", values, chain.ctx), "household", chain.ctx)

    assert "`entity.key`" in refusal(lambda: take(key="user_id")).summary
    assert take(key="household_id").outputs == chain.entity.outputs
    (registry,) = driver.run(chain.root, [{"do": "registry", "store": chain.view.outputs["store"]}])
    assert registry["entity_tags"]["household"]["mlctl.lineage"] == chain.ctx.lineage


def test_a_view_of_another_state_is_refused_with_its_owner(chain: Chain) -> None:
    store = chain.view.outputs["store"]
    tags = {"mlctl.lineage": "99-other", "mlctl.object": "feature_views.theirs#"}
    driver.run(chain.root, [{"do": "disown", "store": store, "tags": tags}])
    wrong = refusal(lambda: adopt(chain))
    assert (wrong.code, "99-other" in wrong.why, "feature_views.theirs" in wrong.why) == ("import.owned", True, True)

"""Taking builds over: folders become the other environment's own, and nothing is built in passing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from mlctl.engine import promotion
from mlctl.engine.ledger import Ledger
from mlctl.engine.operations import Operation
from mlctl.engine.promotion import Offer, link_tree
from mlctl.engine.store import LocalStore
from mlctl.types.address import Address, ObjectKey
from mlctl.types.change import Reason, Selection
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.state import Gate
from tests.unit.engine.test_saved import World


class Pair(World):
    """A project in which `dev` was applied, and `prod` that has nothing yet."""

    def offer(self) -> Offer:
        ledger = Ledger(self.store.read())
        return Offer.of(ledger, self.registry.kind, self.ctx(ledger))

    def promote(self, offer: Offer) -> dict[str, Reason]:
        store = LocalStore(self.root / ".mlctl" / "prod")
        operation = Operation("promote", Selection(), offer=offer)
        with store.session("test") as session:
            ctx = self.ctx(session.ledger)
            ctx = promotion.replace(ctx, home=store.home, environment="prod")
            plan = operation.plan(self.project, session.ledger, ctx)
            done = operation.carry_out(plan, self.project, self.registry.kind, session, ctx, lambda event: None, 1)
        assert done.exit_code is ExitCode.OK
        return {str(change.address): change.reason for change in plan}


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    pair = Pair(tmp_path)
    pair.apply()
    return pair


def test_builds_are_taken_and_services_are_made(pair: Pair) -> None:
    made = len([call for call in pair.tool.calls if call.startswith("make builds")])
    reasons = pair.promote(pair.offer())
    assert reasons == {"builds.a": Reason.PROMOTED, "builds.b": Reason.PROMOTED, "services.s": Reason.NEW}
    assert len([call for call in pair.tool.calls if call.startswith("make builds")]) == made
    record = Ledger(LocalStore(pair.root / ".mlctl" / "prod").read()).current(Address("builds", "a"))
    assert record is not None
    assert record.provenance["promoted_from"] == "default"


def test_what_is_asked_differently_is_named(pair: Pair) -> None:
    offer = pair.offer()
    pair.write(pair.text.replace("b: {value: 4", "b: {value: 5"))
    with pytest.raises(MlctlError) as error:
        pair.promote(offer)
    (found,) = error.value.diagnostics
    assert (found.code, found.address) == ("promote.differs", "builds.b")
    assert found.why == "value: 4 there, 5 here"
    assert LocalStore(pair.root / ".mlctl" / "prod").read().objects == {}


def test_what_did_not_pass_its_gate_is_not_offered(tmp_path: Path) -> None:
    pair = Pair(tmp_path, "project: shop\nbuilds:\n  a: {value: 2, gate: 9}\n")
    ledger = Ledger(pair.store.read())
    with pair.store.session("test") as session:
        ctx = pair.ctx(session.ledger)
        operation = Operation("apply", Selection())
        plan = operation.plan(pair.project, session.ledger, ctx)
        operation.carry_out(plan, pair.project, pair.registry.kind, session, ctx, lambda event: None, 1)
    ledger = Ledger(pair.store.read())
    assert [record.gate for record in ledger] == [Gate(False, "value 2, at least 9 wanted")]
    assert Offer.of(ledger, pair.registry.kind, pair.ctx(ledger)).records == {}
    with pytest.raises(MlctlError, match=r"promote\.differs") as error:
        pair.promote(pair.offer())
    assert "its gate in `default` did not pass" in error.value.diagnostics[0].why


def test_a_folder_is_its_own_from_then_on(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large files are the same bytes on the disk; all that may still be written to is a copy."""
    monkeypatch.setattr(promotion, "_WORTH_LINKING", 100)
    offer, key = pair.offer(), next(iter(pair.offer().records))
    source = offer.ctx.folder(key)
    (source / "model").mkdir(parents=True)
    (source / "model" / "weights").write_bytes(b"w" * 200)
    (source / "log.txt").write_text("l" * 200)
    (source / "lock").write_text("")
    old = f".mlctl/default/objects/{key.address}"
    (source / "result.json").write_text(json.dumps({"outputs": {"model": f"{old}/model", "uri": f"file:///x/{old}/m"}}))
    pair.promote(offer)
    assert (pair.root / ".mlctl" / "prod" / "objects").stat().st_mode & 0o777 == 0o700
    target = pair.root / ".mlctl" / "prod" / "objects" / str(key.address) / key.identity
    assert os.stat(target / "model" / "weights").st_ino == os.stat(source / "model" / "weights").st_ino
    assert os.stat(target / "log.txt").st_ino != os.stat(source / "log.txt").st_ino
    assert not (target / "lock").exists()
    new = old.replace("default", "prod")
    assert json.loads((target / "result.json").read_text())["outputs"] == {
        "model": f"{new}/model",
        "uri": f"file:///x/{new}/m",
    }


def test_outputs_that_only_look_alike_are_left_alone() -> None:
    moved = {".mlctl/dev": ".mlctl/prod"}
    value: Any = {"a": [".mlctl/dev", ".mlctl/develop/x", "x.mlctl/dev", 1, None], "b": ".mlctl/dev/objects/y"}
    assert promotion._rewritten(value, moved) == {
        "a": [".mlctl/prod", ".mlctl/develop/x", "x.mlctl/dev", 1, None],
        "b": ".mlctl/prod/objects/y",
    }


def test_a_link_that_was_cut_off_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = tmp_path / "a", tmp_path / "b" / "c"
    source.mkdir()
    for name in ("one", "two"):
        (source / name).write_text(name)

    def fails(source: Path, target: Path) -> None:
        raise OSError("no space")

    monkeypatch.setattr(promotion, "_link", fails)
    with pytest.raises(OSError, match="no space"):
        link_tree(source, target)
    monkeypatch.undo()
    assert list((tmp_path / "b").iterdir()) == []
    link_tree(source, target)
    link_tree(source, target)  # a repeat finds it done
    assert sorted(path.name for path in target.iterdir()) == ["one", "two"]
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == ["c"]


def test_keys_of_the_offer_are_those_of_the_state(pair: Pair) -> None:
    assert {str(key.address) for key in pair.offer().records} == {"builds.a", "builds.b"}
    assert all(isinstance(key, ObjectKey) for key in pair.offer().records)

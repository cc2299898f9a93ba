"""What a gateway keeps survives whoever wrote it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from mlctl.rollout.routes import Backend, Mirror, Routes
from mlctl.runtime.gateway import kept
from mlctl.runtime.gateway.base import Answered
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.rollout import GatewaySpec, Unit

ROUTES = Routes(
    {"z": Backend("127.0.0.1", 1, "1"), "a": Backend("::1", 2, "2", "tuned")},
    {"z": 9000, "a": 1000},
    Unit(header="x-user", salt="é"),
    Mirror("a", 5),
    serial=3,
)


@pytest.mark.parametrize("routes", [ROUTES, replace(ROUTES, unit=None, mirror=None)])
def test_routes_come_back_as_they_were_with_the_order_of_their_shares(tmp_path: Path, routes: Routes) -> None:
    kept.save_routes(tmp_path, routes)
    again = kept.load_routes(tmp_path)
    assert again == routes
    assert again is not None
    assert list(again.shares) == ["z", "a"]


def test_nothing_was_kept_of_a_new_gateway(tmp_path: Path) -> None:
    assert kept.load_routes(tmp_path) is None
    assert kept.load_spec(tmp_path) is None


def test_an_equal_spec_is_not_written_again(tmp_path: Path) -> None:
    spec = GatewaySpec(type="envoy", host="::", port=1, timeout_seconds=1, max_body_bytes=1)
    kept.save_spec(tmp_path, spec)
    before = (tmp_path / kept.SPEC_FILE).stat().st_ino
    kept.save_spec(tmp_path, spec)
    assert (tmp_path / kept.SPEC_FILE).stat().st_ino == before
    assert kept.load_spec(tmp_path) == spec


def _variant(name: str) -> tuple[str, bool]:
    return name.split("-")[0], name.endswith("-mirror")


@settings(max_examples=40, deadline=None)
@given(
    some.lists(
        some.one_of(
            some.tuples(some.just("add"), some.sampled_from(["a-1", "a-2", "b-1", "b-1-mirror"]), some.integers(0, 9)),
            some.tuples(some.just("look"), some.just(""), some.just(0)),
            some.tuples(some.just("gone"), some.sampled_from(["a-1", "a-2", "b-1"]), some.just(0)),
            some.tuples(some.just("restart"), some.just(""), some.just(0)),
        )
    )
)
def test_counts_are_exact_whatever_begins_anew_when_it_was_looked_at_before(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[str, str, int]]
) -> None:
    """Whoever counts next goes on from the file; nothing is counted twice, and nothing that was seen is lost."""
    folder = tmp_path_factory.mktemp("counts")
    now: dict[str, tuple[int, int]] = {}
    wanted: dict[str, int] = {}
    life = 0

    def look() -> kept.Tally:
        tally = kept.Tally(folder, _variant)
        tally.take(now, str(life))
        return tally

    for what, name, number in [*events, ("look", "", 0)]:
        if what == "add":
            was = now.get(name, (0, 0))
            now[name] = (was[0] + number, was[1])
            wanted[name] = wanted.get(name, 0) + number
        else:
            tally = look()
            totals = {(variant, copies): 0 for variant in "ab" for copies in (True, False)}
            for known, count in wanted.items():
                totals[_variant(known)] += count
            for (variant, copies), count in totals.items():
                assert tally.totals(mirrored=copies).get(variant, Answered(0, 0)).requests == count
        if what == "gone":
            now.pop(name, None)
            look()
        if what == "restart":
            now, life = {}, life + 1


def test_what_cannot_be_written_is_said_and_stops_no_counting(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    with pytest.raises(MlctlError, match=r"gateway\.cannot-write"):
        kept.save_routes(gone, ROUTES)
    tally = kept.Tally(gone, _variant)
    tally.take({"a-1": (5, 1)}, "first")
    assert tally.totals(mirrored=False) == {"a": (5, 1)}


def test_a_new_life_is_known_by_its_name_even_when_it_has_counted_more(tmp_path: Path) -> None:
    kept.Tally(tmp_path, _variant).take({"a-1": (5, 1)}, "first")
    tally = kept.Tally(tmp_path, _variant)
    tally.take({"a-1": (9, 1)}, "second")
    assert tally.totals(mirrored=False) == {"a": (14, 2)}

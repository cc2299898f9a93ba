"""The rules of the Python gateway; that Envoy has the same is shown where both run."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as some

from mlctl.rollout.routes import TOTAL, Backend, Mirror, Routes
from mlctl.runtime.gateway.python.router import Router
from mlctl.runtime.gateway.units import lua, place, text_of
from mlctl.stats.assignment import assign, bucket
from mlctl.types.jobs.rollout import Unit

UNIT = Unit(header="X-User-Id", salt="s")
ROUTES = Routes(
    {"stable": Backend("127.0.0.1", 1, "1"), "candidate": Backend("127.0.0.1", 2, "2")},
    {"stable": 7000, "candidate": 3000},
    UNIT,
)


@given(some.text(min_size=1), some.text(), some.integers(0, TOTAL))
def test_a_unit_gets_the_arm_of_the_offline_assignment(unit: str, salt: str, share: int) -> None:
    """For every id that a header can hold, and every split."""
    raw = unit.encode("utf-8", "replace")
    routes = replace(ROUTES, unit=Unit(header="u", salt=salt), shares={"stable": TOTAL - share, "candidate": share})
    choice = Router(routes).choose([(b"u", raw)])
    assert choice.variant == assign(raw.decode(), salt, routes.shares)
    assert choice.propensity == routes.shares[choice.variant] / TOTAL


@given(some.text(), some.text())
def test_a_place_is_the_bucket(unit: str, salt: str) -> None:
    assert place(unit.encode("utf-8", "replace"), salt) == round(
        bucket(unit.encode("utf-8", "replace").decode(), salt) * TOTAL
    )


@given(some.binary())
def test_every_header_names_one_unit(raw: bytes) -> None:
    assert 0 <= place(raw, "s") < TOTAL
    assert text_of(raw).encode("utf-8") == raw or text_of(raw).encode("latin-1") == raw


@given(some.text(min_size=1, max_size=8), some.integers(0, TOTAL), some.integers(0, TOTAL))
def test_a_growing_share_moves_units_in_one_direction(unit: str, one: int, two: int) -> None:
    few, many = sorted((one, two))
    chosen = [
        Router(replace(ROUTES, shares={"stable": TOTAL - share, "candidate": share}))
        .choose([(b"x-user-id", unit.encode("utf-8", "replace"))])
        .variant
        for share in (few, many)
    ]
    assert chosen != ["candidate", "stable"]


def test_a_share_of_nothing_is_never_chosen() -> None:
    nothing = Router(replace(ROUTES, shares={"stable": TOTAL, "candidate": 0}))
    everything = Router(replace(ROUTES, shares={"stable": 0, "candidate": TOTAL}))
    for number in range(300):
        headers = [(b"x-user-id", b"%d" % number)] if number % 2 else []
        assert nothing.choose(headers).variant == "stable"
        assert everything.choose(headers).variant == "candidate"


@pytest.mark.parametrize(
    ("wanted", "variant"),
    [(b"candidate", "candidate"), (b"stable", "stable"), (b"nobody", "stable"), (b"\xff", "stable")],
)
def test_a_client_may_pick_what_is_there(wanted: bytes, variant: str) -> None:
    router = Router(replace(ROUTES, shares={"stable": TOTAL, "candidate": 0}))
    choice = router.choose([(b"x-mlctl-variant", wanted)])
    assert choice.variant == variant
    assert (choice.propensity is None) == (wanted in (b"candidate", b"stable"))


def test_a_candidate_that_cannot_be_reached_has_the_stable_version_behind_it_and_an_arm_has_nobody() -> None:
    everything = {"stable": 0, "candidate": TOTAL}
    assert [name for name, _ in Router(replace(ROUTES, shares=everything)).choose([]).backends] == [
        "candidate",
        "stable",
    ]
    assert [name for name, _ in Router(ROUTES).choose([(b"x-mlctl-variant", b"candidate")]).backends] == ["candidate"]
    arms = Routes({"a": ROUTES.backends["stable"], "b": ROUTES.backends["candidate"]}, {"a": 0, "b": TOTAL})
    assert {name for name, _ in Router(arms).choose([]).backends} == {"b"}


def test_copies_are_of_what_others_answer_and_of_no_preview() -> None:
    router = Router(replace(ROUTES, mirror=Mirror("candidate", TOTAL)))
    chosen = [router.choose([]) for _ in range(200)]
    assert Counter(router.copied(choice) for choice in chosen if choice.variant == "candidate").keys() == {False}
    assert Counter(router.copied(choice) for choice in chosen if choice.variant == "stable").keys() == {True}
    assert not router.copied(router.choose([(b"x-mlctl-variant", b"stable")]))


@pytest.mark.parametrize("salt", ["", "rank", '"]] end --', "🙂"])
def test_no_salt_is_written_into_the_lua_program(salt: str) -> None:
    """Only its hash: no text of a project becomes code."""
    program = lua(Unit(header="x-user", salt=salt))
    assert salt == "" or salt not in program
    assert 'headers:get("x-user")' in program
    assert "@" not in program

"""What may happen to a rollout: versions, strategies, verdicts, orders, deaths, kills, clocks."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from mlctl.rollout.verdict import Says
from mlctl.types.jobs.rollout import (
    ArmRule,
    Bandit,
    GateRule,
    GatewaySpec,
    MetricRule,
    Revision,
    Split,
    Step,
    Stepwise,
    Strategy,
    Unit,
    Wanted,
)

VERSIONS = ("1", "2", "3", "4")
BROKEN = "4"  # never becomes ready
RULE = GateRule(metrics=[MetricRule(name="error_rate", margin=0.01)], min_requests=100)
GATES = {"guard": RULE, "other": GateRule(metrics=[MetricRule(name="p99_seconds", max=1.0)], min_requests=50)}
TURN = 1.0
Event = tuple[str, Any]


def revision(version: str) -> Revision:
    return Revision(digest=f"d{version}", model="churn", version=version, program="server", params={"version": version})


CANARY = Stepwise(
    type="canary",
    steps=[
        Step(weight=0, mirror=100, gate="guard", name="copies"),
        Step(weight=10, mirror=0, gate="guard"),
        Step(pause_seconds=20),
        Step(weight=50, gate="other", pause_seconds=5),
        Step(weight=75, confirm=True),
    ],
    keep_old_seconds=60,
)
STEPWISE: dict[str, Stepwise] = {
    "canary": CANARY,
    "edited": CANARY.model_copy(update={"steps": [*CANARY.steps[:3], Step(weight=80, pause_seconds=3)]}),
    "short": Stepwise(type="canary", steps=[Step(weight=20, pause_seconds=10), Step(weight=60)], keep_old_seconds=0),
    "blue_green": Stepwise(
        type="blue_green",
        steps=[
            Step(weight=0, mirror=100, gate="guard", pause_seconds=5),
            Step(weight=100, mirror=0, gate="other"),
        ],
        keep_old_seconds=120,
    ),
    "shadow": Stepwise(
        type="shadow",
        steps=[Step(weight=0, mirror=50, gate="guard", pause_seconds=10)],
        promote=False,
        keep_old_seconds=60,
    ),
    "shadow_then": Stepwise(
        type="shadow", steps=[Step(weight=0, mirror=100, pause_seconds=10)], promote=True, keep_old_seconds=60
    ),
    "all_at_once": Stepwise(type="all_at_once", steps=[], keep_old_seconds=30),
}


def split(*arms: tuple[str, str, float]) -> Split:
    return Split(type="ab", arms={name: ArmRule(revision=revision(v), weight=w) for name, v, w in arms})


def bandit(*arms: tuple[str, str]) -> Bandit:
    return Bandit(type="bandit", arms={name: ArmRule(revision=revision(version), weight=1) for name, version in arms})


ARMS: dict[str, Split | Bandit] = {
    "ab": split(("control", "1", 1), ("treatment", "2", 1)),
    "ab_uneven": split(("control", "1", 2), ("treatment", "3", 1)),
    "ab_third": split(("control", "1", 1), ("treatment", "2", 1), ("other", "3", 1)),
    "ab_broken": split(("control", "1", 1), ("treatment", BROKEN, 1)),
    "bandit": bandit(("one", "1"), ("two", "2"), ("three", "3")),
    "bandit_two": bandit(("one", "1"), ("two", "3")),
}
ORDERS: dict[str, dict[str, Any]] = {
    "promote": {"what": "promote"},
    "full": {"what": "promote", "full": True},
    **{name: {"what": name} for name in ("abort", "pause", "resume", "retry", "undo")},
}


def wanted(serial: int, strategy: Strategy, version: str) -> Wanted:
    return Wanted(
        serial=serial,
        deployment="api",
        address="deployments.api",
        gateway=GatewaySpec(type="envoy", host="127.0.0.1", port=8080, timeout_seconds=30, max_body_bytes=1000),
        unit=Unit(header="x-user-id", salt="api"),
        revision=revision(version) if isinstance(strategy, Stepwise) else None,
        strategy=strategy,
        gates=GATES if isinstance(strategy, Stepwise) else {},
    )


@st.composite
def events(draw: st.DrawFn) -> Event:
    """One thing that happens. Stepwise strategies come up more often, since there is more to go wrong."""
    what = draw(st.sampled_from(KINDS))
    return what, draw(ABOUT[what])


ABOUT: dict[str, st.SearchStrategy[Any]] = {
    "apply": st.tuples(st.sampled_from([*STEPWISE, *STEPWISE, *ARMS]), st.sampled_from(VERSIONS)),
    "order": st.sampled_from(sorted(ORDERS)),
    "die": st.integers(0, 3),
    "verdict": st.tuples(st.sampled_from(list(Says)), st.sampled_from([0, 60, 1000])),
    "wait": st.sampled_from([1, 2, 5, 12, 70]),
    "carry_on": st.sampled_from([1, 2, 4, 8, 25]),
    "jump": st.sampled_from([-3600.0, -1.0, 3.0, 3600.0, 86_400.0]),
    "kill": st.sampled_from(["before", "within", "after"]),
    "refuse": st.integers(1, 20),
    "decide": st.lists(st.integers(1, 100), min_size=3, max_size=3),
    "gateway_dies": st.none(),
    "forget": st.none(),
}
KINDS = [
    *["apply"] * 5, *["order"] * 5, *["verdict"] * 5, *["wait"] * 4, *["carry_on"] * 8, *["die"] * 3, *["jump"] * 4, *["kill"] * 3,
    *["refuse"] * 2, "decide", "gateway_dies", "forget",
]  # fmt: skip
HISTORIES = st.builds(
    lambda first, second, rest: [("apply", first), ("wait", 5), ("apply", second), ("wait", 5), *rest],
    st.tuples(st.sampled_from([*STEPWISE, "ab"]), st.just("1")),
    st.tuples(st.sampled_from([*STEPWISE, "canary", "short", "bandit"]), st.sampled_from(VERSIONS[1:])),
    st.lists(events(), min_size=3, max_size=30),
)

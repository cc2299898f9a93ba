"""What a gate says: what is blamed, what passes, and what stays open however long it lasts."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlctl.rollout.evidence import BOUNDS, Counts, Histogram
from mlctl.rollout.judge import Judge
from mlctl.rollout.verdict import Says, Verdict
from mlctl.types.jobs.rollout import GateRule, MetricRule
from tests.simulations import Version, error_gate, step, threshold_rule, traffic

GOOD, TRIPLED = Version(errors=0.01), Version(errors=0.03)


def gate(name: str, *, on_no_data: str = "hold", min_requests: int = 500, **bound: float) -> GateRule:
    rule = MetricRule(name=name, **bound)
    return GateRule(metrics=[rule], min_requests=min_requests, on_no_data=on_no_data, no_data_seconds=60)


def look(rule: GateRule, candidate: Counts, baseline: Counts | None) -> Verdict:
    return Judge(rule).look(candidate, baseline, 0.0)


def times(*seconds: float, each: int = 1) -> Histogram:
    counts = [0] * (len(BOUNDS) + 1)
    for value in seconds:
        counts[int(np.searchsorted(BOUNDS, value))] += each
    return Histogram(tuple(counts), sum(seconds) * each)


def test_three_times_the_errors_are_found_within_1200_requests_and_good_versions_left_alone() -> None:
    generator = np.random.default_rng(6)
    bad = [step(error_gate(), TRIPLED, GOOD, generator, most=1200) for _ in range(200)]
    assert sum(end.says is Says.FAIL for end in bad) >= 180
    assert not any(end.says is Says.PASS for end in bad)
    good = [step(error_gate(), GOOD, GOOD, generator, most=2000) for _ in range(100)]
    assert sum(end.says is Says.FAIL for end in good) <= 1
    assert sum(end.says is Says.PASS for end in good) >= 75
    assert sum(threshold_rule(TRIPLED, generator) for _ in range(200)) <= 10  # what a fixed number finds of it


def test_a_version_at_its_margin_is_blamed_no_more_often_than_alpha_says() -> None:
    generator = np.random.default_rng(2)
    rule = error_gate(margin=0.01, min_requests=200, alpha=0.05)
    ends = [
        step(rule, Version(errors=0.06), Version(errors=0.05), generator, weight=0.5, most=1500) for _ in range(150)
    ]
    assert sum(end.says is Says.FAIL for end in ends) <= 14


@pytest.mark.parametrize(
    ("candidate", "baseline"),
    [(Counts(), Counts()), (Counts(), Counts(5000, 50)), (Counts(5000, 50), Counts()), (Counts(5000, 50), None)],
)
def test_no_traffic_or_traffic_of_one_side_never_passes_and_never_fails(
    candidate: Counts, baseline: Counts | None
) -> None:
    judge = Judge(gate("error_rate", margin=0.002))
    for number in range(200):
        assert judge.look(candidate, baseline, 10.0 * number).says is Says.INCONCLUSIVE


def test_a_hard_limit_needs_no_baseline() -> None:
    assert look(gate("error_rate", max=0.02), Counts(1000, 5), None).says is Says.PASS
    assert look(gate("error_rate", max=0.02), Counts(1000, 60), None).says is Says.FAIL


def test_a_few_requests_can_be_enough_to_blame_but_not_to_pass() -> None:
    verdict = look(gate("error_rate", margin=0.002), Counts(60, 40), Counts(540, 5))
    assert verdict.says is Says.FAIL
    assert "beyond the margin of 0.2 points" in verdict.why
    few = look(gate("error_rate", margin=0.002), Counts(499, 0), Counts(5000, 0))
    assert (few.says, "499 of the 500" in few.why) == (Says.INCONCLUSIVE, True)
    assert look(gate("error_rate", margin=0.002), Counts(500, 0), Counts(5000, 0)).says is Says.PASS


def test_an_open_verdict_says_why_and_how_many_requests_it_would_take() -> None:
    near = look(gate("error_rate", margin=0.002), Counts(600, 6), Counts(600, 6))
    assert near.says is Says.INCONCLUSIVE
    assert "within the margin of 0.2 points so far; about " in near.why
    assert "more requests would exclude 2 % or more" in near.why
    above = look(gate("error_rate", margin=0.002), Counts(600, 10), Counts(5400, 54))
    assert "which may be chance; about " in above.why


def test_silence_fails_only_where_it_was_asked_for_and_sleep_is_no_silence() -> None:
    for on_no_data, says in (("hold", Says.INCONCLUSIVE), ("fail", Says.FAIL)):
        judge = Judge(gate("error_rate", margin=0.002, on_no_data=on_no_data))
        judge.look(Counts(10, 0), Counts(90, 1), 0.0)
        asleep = judge.look(Counts(10, 0), Counts(90, 1), 9000.0)  # nobody knows what would have come meanwhile
        assert asleep.says is Says.INCONCLUSIVE
        verdicts = [judge.look(Counts(10, 0), Counts(90, 1), 9000.0 + 10.0 * number) for number in range(1, 8)]
        assert verdicts[-1].says is says
    assert Judge(gate("error_rate", max=0.1)).look(Counts(), None, 0.0).says is Says.INCONCLUSIVE


def test_a_judge_that_goes_on_says_what_one_that_never_stopped_says() -> None:
    rule = GateRule(
        metrics=[
            MetricRule(name="error_rate", margin=0.002, max=0.05),
            MetricRule(name="p95_seconds", max_ratio=1.2),
            MetricRule(name="mean_seconds", max_ratio=1.2),
        ],
        min_requests=300,
    )
    through, stopped, generator = Judge(rule), Judge(rule), np.random.default_rng(8)
    flow = traffic(Version(errors=0.008, median=0.021), GOOD, generator, 0.2, 30, True)
    for number, (candidate, baseline) in zip(range(60), flow, strict=False):
        one = through.look(candidate, baseline, float(number))
        other = stopped.look(candidate, baseline, float(number))
        assert one == other
        stopped = Judge(rule, json.loads(json.dumps(stopped.memory())))
    assert one.says is Says.PASS


def test_another_bound_does_not_inherit_what_was_found() -> None:
    judge = Judge(gate("error_rate", margin=0.002))
    assert judge.look(Counts(600, 300), Counts(5400, 50), 0.0).says is Says.FAIL
    changed = Judge(gate("error_rate", margin=0.6), judge.memory())
    assert changed.look(Counts(600, 300), Counts(5400, 50), 1.0).says is Says.PASS


def test_counters_that_begin_anew_spend_nothing_and_frighten_nobody() -> None:
    judge = Judge(gate("error_rate", margin=0.002))
    judge.look(Counts(400, 4), Counts(3600, 36), 0.0)
    before = judge.memory()["trials"]
    verdict = judge.look(Counts(3, 1), Counts(20, 0), 1.0)
    assert verdict.says is Says.INCONCLUSIVE
    assert judge.memory()["trials"] == before
    means = Judge(gate("mean_seconds", max_ratio=1.1, min_requests=20))
    for number in (100, 200, 20, 120, 220, 320, 420):
        counts = Counts(number, 0, Histogram(times(0.02).counts, 0.02 * number))
        counts = replace(counts, seconds=times(0.02, each=number))
        verdict = means.look(counts, counts, float(number))
    assert verdict.says is not Says.FAIL


@pytest.mark.parametrize("total", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_no_evidence(total: float) -> None:
    judge = Judge(gate("mean_seconds", max=0.1))
    counts = [Counts(200 * n, 0, replace(times(0.01, each=200 * n), total=total)) for n in range(1, 9)]
    verdicts = [judge.look(item, None, float(number)) for number, item in enumerate(counts)]
    assert {verdict.says for verdict in verdicts} == {Says.INCONCLUSIVE}


@pytest.mark.parametrize("metric", ["p50_seconds", "p95_seconds", "p99_seconds", "mean_seconds"])
def test_slower_versions_are_found_and_equal_ones_pass(metric: str) -> None:
    rule, generator = gate(metric, max_ratio=1.1), np.random.default_rng(4)
    slow = [step(rule, Version(median=0.032), Version(), generator, times=True, most=4000) for _ in range(12)]
    same = [step(rule, Version(), Version(), generator, times=True, most=6000) for _ in range(12)]
    assert [end.says for end in slow] == [Says.FAIL] * 12
    assert sum(end.says is Says.PASS for end in same) >= 11
    assert Says.FAIL not in {end.says for end in same}


def test_the_width_of_a_bucket_blames_nobody() -> None:
    """A limit of 50 ms lies inside the bucket from 49.05 to 53.95 ms: times in there are neither blamed nor passed by it."""
    for seconds, says in (
        (0.049, Says.PASS),
        (0.0505, Says.INCONCLUSIVE),
        (0.053, Says.INCONCLUSIVE),
        (0.055, Says.FAIL),
    ):
        counts = Counts(5000, 0, times(seconds, each=5000))
        assert look(gate("p99_seconds", max=0.05), counts, None).says is says


def test_a_slow_model_of_tokens_is_found() -> None:
    generator = np.random.default_rng(1)
    for speed, says in ((50.0, Says.PASS), (35.0, Says.FAIL)):
        judge, verdict = Judge(gate("tokens_per_second", max_ratio=1.1, min_requests=100)), None
        mine = theirs = Counts()
        for number in range(1, 30):
            load, noise = float(generator.uniform(0.7, 1.3)), float(generator.uniform(0.97, 1.03))
            mine = replace(mine, requests=20 * number, tokens=1000 * number)
            mine = replace(mine, decoding_seconds=mine.decoding_seconds + 1000 / (speed * load))
            theirs = replace(theirs, requests=180 * number, tokens=9000 * number)
            theirs = replace(theirs, decoding_seconds=theirs.decoding_seconds + 9000 / (50.0 * load * noise))
            verdict = judge.look(mine, theirs, float(number))
            if verdict.says is not Says.INCONCLUSIVE:
                break
        assert verdict is not None
        assert verdict.says is says
        assert "tokens/s against 4" in verdict.why or "tokens/s against 5" in verdict.why


def test_scores_that_moved_are_found_and_those_that_did_not_pass() -> None:
    even = tuple([100] * 100)
    moved = tuple([0] * 30 + [143] * 70)
    rule = gate("score_shift", max=0.1)
    assert look(rule, Counts(10_000, 0, scores=even), Counts(10_000, 0, scores=even)).says is Says.PASS
    assert look(rule, Counts(10_000, 0, scores=moved), Counts(10_000, 0, scores=even)).says is Says.FAIL
    assert look(rule, Counts(10_000, 0), Counts(10_000, 0, scores=even)).says is Says.INCONCLUSIVE


def test_mismatches_of_a_shadow_are_held_against_their_limit() -> None:
    rule = gate("mismatch_rate", max=0.01)
    assert look(rule, Counts(1000, compared=1000, mismatches=1), Counts(1000)).says is Says.PASS
    assert look(rule, Counts(1000, compared=1000, mismatches=60), Counts(1000)).says is Says.FAIL
    assert "no answer was compared" in look(rule, Counts(1000), Counts(1000)).why


def test_several_bounds_share_alpha_and_the_worst_finding_is_the_verdict() -> None:
    rules = [MetricRule(name="error_rate", margin=0.002), MetricRule(name="error_rate", max=0.5)]
    verdict = look(GateRule(metrics=rules), Counts(2000, 200), Counts(18_000, 180))
    assert [finding.says for finding in verdict.findings] == [Says.FAIL, Says.PASS]
    assert verdict.says is Says.FAIL
    assert (verdict.requests, verdict.baseline_requests) == (2000, 18_000)
    assert verdict.findings[0].candidate == pytest.approx(0.1)


numbers = st.integers(0, 3000)
counted = st.builds(
    Counts,
    requests=numbers,
    errors=numbers,  # more than there are requests, now and then: both are not read in one moment
    seconds=st.builds(lambda *places: times(*places, each=100), *[st.floats(0, 2000)] * 3),
    ttft=st.builds(lambda number: times(0.2, each=number), numbers),
    tokens=numbers,
    decoding_seconds=st.floats(0, 1000) | st.just(math.nan),
    compared=numbers,
    mismatches=numbers,
    scores=st.sampled_from([(), tuple([10] * 100), tuple([0] * 100)]),
)
EVERYTHING = GateRule(
    metrics=[
        MetricRule(name="error_rate", margin=0.002, max=0.1),
        MetricRule(name="mismatch_rate", max=0.0),
        MetricRule(name="p99_seconds", max_ratio=1.05, max=0.3),
        MetricRule(name="ttft_p50_seconds", max_ratio=2.0),
        MetricRule(name="mean_seconds", max_ratio=1.0, max=2.0),
        MetricRule(name="tokens_per_second", max_ratio=1.1, min=5.0),
        MetricRule(name="score_shift", max=0.1),
    ],
    min_requests=100,
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(counted, st.none() | counted), min_size=1, max_size=6))
def test_whatever_is_counted_there_is_a_verdict_and_no_pass_without_requests(
    looks: list[tuple[Counts, Counts | None]],
) -> None:
    judge = Judge(EVERYTHING)
    for number, (candidate, baseline) in enumerate(looks):
        verdict = judge.look(candidate, baseline, float(number))
        assert verdict.why
        assert len(verdict.findings) == 11
        if verdict.says is Says.PASS:
            assert baseline is not None
            assert min(candidate.requests, baseline.requests) >= 100
        judge = Judge(EVERYTHING, json.loads(json.dumps(judge.memory(), allow_nan=False)))


def test_a_time_above_all_that_are_told_apart_can_be_kept() -> None:
    endless = Histogram((0,) * len(BOUNDS) + (600,), 1e6)
    verdict = look(gate("p99_seconds", max=1.0), Counts(600, 0, endless), None)
    assert verdict.says is Says.FAIL
    assert "over 16 min" in verdict.why
    json.dumps([(item.candidate, item.baseline) for item in verdict.findings], allow_nan=False)


def test_a_language_model_that_answers_nothing_is_blamed_and_one_that_says_nothing_of_it_never_passes() -> None:
    mute, well = Counts(2000, 0, answers=2000, empty=2000), Counts(2000, 0, answers=2000, empty=2)
    for bound in ({"max": 0.01}, {"margin": 0.01}):
        rule = gate("empty_rate", **bound)
        said = look(rule, mute, well)
        assert said.says is Says.FAIL
        assert "empty_rate 100.0 %" in said.why
        assert look(rule, well, well).says is Says.PASS
    assert look(gate("error_rate", max=0.01), mute, well).says is Says.PASS  # it has no errors
    unknown = look(gate("empty_rate", max=0.01), Counts(2000, 0), well)
    assert (unknown.says, unknown.why) == (
        Says.INCONCLUSIVE,
        "empty_rate: no text of a language model came to its end yet",
    )
    assert look(gate("empty_rate", margin=0.01), well, Counts(2000, 0)).says is Says.INCONCLUSIVE
    older = Counts(2000, 0, tokens=9000)  # of a server that a program without these metrics has started
    assert (
        "of the baseline tokens came and no text was counted" in look(gate("empty_rate", margin=0.01), well, older).why
    )
    assert "started by an earlier mlctl" in look(gate("empty_rate", max=0.01), older, well).why
    few = Counts(2000, 0, answers=100)
    assert look(gate("empty_rate", max=0.01), few, well).says is Says.INCONCLUSIVE  # requests are no answers


def test_answers_that_are_cut_off_are_held_against_those_of_the_baseline() -> None:
    rule = gate("length_rate", margin=0.05)
    short, often = Counts(3000, 0, answers=3000, cut=300), Counts(3000, 0, answers=3000, cut=900)
    assert look(rule, often, short).says is Says.FAIL
    assert look(rule, short, short).says is Says.PASS

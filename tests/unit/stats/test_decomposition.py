"""What made a cost change, where that is known beforehand."""

from fractions import Fraction

from mlctl.stats.decomposition import FACTORS, ModelUse, decompose, shown, total

ONE, TWO = Fraction(1), Fraction(2)


def use(requests: int, tokens: int, each: Fraction) -> ModelUse:
    return ModelUse(requests, {"output": tokens}, {"output": tokens * each})


def only(factor: str, terms: dict[str, Fraction]) -> bool:
    return terms[factor] != 0 and all(terms[name] == 0 for name in FACTORS if name != factor)


def test_a_change_of_one_factor_is_put_down_to_that_factor() -> None:
    before = {"a": use(100, 5000, ONE)}
    assert only("volume", decompose(before, {"a": use(200, 10_000, ONE)}, ONE, ONE))
    assert only("volume", decompose(before, before, ONE, TWO))
    assert only("tokens", decompose(before, {"a": use(100, 6000, ONE)}, ONE, ONE))
    assert only("price", decompose(before, {"a": use(100, 5000, TWO)}, ONE, ONE))


def test_a_model_that_came_is_a_matter_of_the_mix() -> None:
    before = {"cheap": use(100, 5000, ONE)}
    now = {"cheap": use(50, 2500, ONE), "dear": use(50, 2500, 10 * ONE)}
    terms = decompose(before, now, ONE, ONE)
    assert only("mix", terms)
    assert terms["mix"] == 22_500


def test_two_factors_share_what_they_do_together_alike() -> None:
    terms = decompose({"a": use(10, 10, ONE)}, {"a": use(20, 40, ONE)}, ONE, ONE)
    assert (terms["volume"], terms["tokens"]) == (15, 15)  # 10 -> 40: each alone adds 10, both together 10 more


def test_what_is_shown_adds_up_when_every_part_would_be_rounded_the_same_way() -> None:
    terms = {name: Fraction(1, 3) for name in FACTORS}
    told = shown(terms, 2)
    assert sorted(told.values()) == [0.33, 0.33, 0.33, 0.34]
    assert total({}) == 0

"""Whatever models, tokens and prices there are, the parts of a cost's change add up to it."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from mlctl.stats.decomposition import FACTORS, ModelUse, decompose, shown, total

_PRICES = st.decimals(min_value=0, max_value=1, places=7).map(Fraction)
_USE = st.builds(
    lambda requests, counts, prices: ModelUse(requests, counts, {kind: counts[kind] * prices[kind] for kind in counts}),
    st.integers(1, 10**6),
    st.fixed_dictionaries({"input": st.integers(0, 10**9), "output": st.integers(0, 10**9)}),
    st.fixed_dictionaries({"input": _PRICES, "output": _PRICES}),
)
_SPAN = st.dictionaries(st.sampled_from(["a", "b", "c"]), _USE, min_size=1)
_DAYS = st.fractions(min_value=Fraction(1, 100), max_value=400, max_denominator=1000)


@given(_SPAN, _SPAN, _DAYS, _DAYS)
def test_the_terms_add_up_exactly_and_as_they_are_shown(
    before: dict[str, ModelUse], now: dict[str, ModelUse], days_before: Fraction, days_now: Fraction
) -> None:
    terms = decompose(before, now, days_before, days_now)
    change = total(now) / days_now - total(before) / days_before
    assert sum(terms.values()) == change
    cents = [round(Fraction(value) * 100) for value in shown(terms, 2).values()]
    assert sum(cents) == round(change * 100)


@given(_SPAN, _DAYS)
def test_nothing_changed_nothing_is_told(span: dict[str, ModelUse], days: Fraction) -> None:
    assert decompose(span, span, days, days) == dict.fromkeys(FACTORS, Fraction(0))

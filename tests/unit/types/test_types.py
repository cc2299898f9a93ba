"""Addresses, keys, canonical values, units."""

import pytest

from mlctl.types.address import Address, ObjectKey
from mlctl.types.change import Action, Change, Plan, Reason
from mlctl.types.diagnostic import did_you_mean, said
from mlctl.types.units import format_duration, parse_duration, parse_share
from mlctl.types.value import Unknown, canonical, contains_unknown, digest


@pytest.mark.parametrize(
    "text", ["training.churn", "feature_views.user_activity_7d", 'training.churn["lr=0.1,seed=2"]']
)
def test_addresses_survive_a_round_trip(text: str) -> None:
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "training", ".x", "training.", "Training.x", "training.x..y", "training.x y", "1.x"]
)
def test_other_shapes_are_not_addresses(text: str) -> None:
    with pytest.raises(ValueError, match=r"section\.name"):
        Address.parse(text)


def test_keys_survive_a_round_trip() -> None:
    for text in ("training.churn#0123abcd", "deployments.api#"):
        assert str(ObjectKey.parse(text)) == text
    for text in (
        "training.churn",
        "churn#1",
        "training.churn#../../x",
        "training.churn#a b",
        "training.churn#\x1b[31m",
    ):
        with pytest.raises(ValueError, match="object key"):
            ObjectKey.parse(text)


def test_addresses_and_keys_are_told_apart_where_both_are_looked_up() -> None:
    """They are tuples, for speed."""
    key = ObjectKey.parse("training.churn#")
    assert key != key.address
    assert len({key, key.address, str(key), str(key.address)}) == 4
    assert sorted([ObjectKey.parse("b.a#2"), ObjectKey.parse("b.a#1"), ObjectKey.parse("a.z#9")])[0].identity == "9"
    assert f"{key} {key.address}" == "training.churn# training.churn"


def test_equal_values_have_equal_digests_whatever_their_order() -> None:
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 1.5})
    assert canonical({"ü": None}) == '{"ü":null}'


def test_unknown_is_found_anywhere_inside() -> None:
    assert contains_unknown({"a": [1, {"b": Unknown("training.x.model")}]})
    assert not contains_unknown({"a": [1, {"b": "x"}]})


@pytest.mark.parametrize(
    ("text", "seconds"), [("5ms", 0.005), ("60s", 60), ("1.5h", 5400), ("7d", 604800), ("2w", 1209600), (" 3 m ", 180)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["7", "d", "-1d", "7 days", "", 7, None])
def test_what_is_not_a_duration(text: object) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(("text", "share"), [("15%", 0.15), (0.2, 0.2), (1, 1.0), ("0%", 0.0)])
def test_shares(text: object, share: float) -> None:
    assert parse_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["150%", -0.1, 2, "x", True, None])
def test_what_is_not_a_share(text: object) -> None:
    with pytest.raises(ValueError, match=r"share|could not convert"):
        parse_share(text)


def test_the_summary_counts_in_the_order_of_the_contract() -> None:
    key = ObjectKey.parse("builds.a#1")
    changes = tuple(Change(action, key, Reason.NEW) for action in Action)
    assert Plan(changes, "l", 1, "d").summary() == {
        "create": 1,
        "update": 1,
        "replace": 1,
        "destroy": 1,
        "run": 3,
        "import": 1,
        "forget": 1,
        "unchanged": 1,
    }


def test_did_you_mean_names_the_nearest_or_the_few_there_are() -> None:
    assert did_you_mean("learning_rat", ["learning_rate", "epochs"]) == "did you mean `learning_rate`?"
    assert did_you_mean("zzz", ["a", "b"]) == "known here: `a`, `b`"
    assert did_you_mean("zzz", []) == ""


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("(sqlite3.OperationalError) database or disk is full\n[SQL: INSERT INTO runs\nVALUES (?)]\n[parameters: (1,)]", "(sqlite3.OperationalError) database or disk is full"),
        ("Error(s) in loading state_dict for MLP:\n\tsize mismatch for 0.weight\n\tand more", "Error(s) in loading state_dict for MLP: size mismatch for 0.weight"),
        ("\n  no such table: experiments\n", "no such table: experiments"),
        ("it is empty:\n[SQL: SELECT 1]", "it is empty"),
        ("", "ValueError"),
    ],
)  # fmt: skip
def test_an_error_of_a_library_is_told_in_the_line_that_says_what_it_is(text: str, line: str) -> None:
    assert said(ValueError(text)) == line

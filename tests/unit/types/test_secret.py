"""Secrets are known by their value: in whatever text they turn up, and however it was encoded."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlctl.types import secret
from mlctl.types.secret import HIDDEN, Secrets, is_rotation, sealed_names, settled, shown

TOKEN = 'hunter2/"slash+plus'
KNOWN = Secrets({"var.token": TOKEN, "env.DB_PASSWORD": "correct horse"}, b"k" * 32)
texts = st.text(min_size=secret.SHORTEST, max_size=40)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret, "_announced", [])


def test_a_sealed_text_names_its_secret_and_can_be_opened_again() -> None:
    tree = {"uri": f"http://me:{TOKEN}@host", "n": [1, None, {"deep": "correct horse"}], TOKEN: "name"}
    sealed = KNOWN.masked(tree)
    assert sealed["uri"] == f"http://me:${{secret:var.token#{KNOWN.digest(TOKEN)}}}@host"
    assert TOKEN not in json.dumps(sealed)
    assert "correct horse" not in json.dumps(sealed)
    assert KNOWN.opened(sealed) == tree
    assert sealed_names(sealed) == {"var.token", "env.DB_PASSWORD"}


def test_sealing_twice_is_sealing_once() -> None:
    once = KNOWN.masked({"a": f"x{TOKEN}y"})
    assert KNOWN.masked(once) == once


def test_what_people_read_holds_neither_value_nor_digest() -> None:
    assert KNOWN.hidden([f"a {TOKEN} b", KNOWN.masked(TOKEN)]) == [f"a {HIDDEN} b", HIDDEN]
    assert shown(KNOWN.masked(f"a {TOKEN}")) == f"a {HIDDEN}"


def test_without_a_key_there_is_no_digest_to_guess_by() -> None:
    assert Secrets({"var.t": "12345678"}).masked("12345678") == "${secret:var.t}"


@pytest.mark.parametrize(
    "form",
    [
        lambda value: quote(value, safe=""),
        lambda value: json.dumps({"key": value}),
        repr,
        lambda value: base64.b64encode(value.encode()).decode(),
        lambda value: base64.urlsafe_b64encode(f"me:{value}".encode()).decode(),
        lambda value: base64.b64encode(f"you:{value}:more".encode()).decode(),
    ],
    ids=["url", "json", "repr", "base64", "basic-auth", "base64-inside"],
)
def test_an_encoded_secret_is_found_too(form: object) -> None:
    text = form(TOKEN)  # type: ignore[operator]
    said = KNOWN.hidden(f"before {text} after")
    assert HIDDEN in said
    assert said.startswith("before ")
    assert form("nothing in particular") == KNOWN.hidden(form("nothing in particular"))  # type: ignore[operator]


def test_a_secret_inside_another_does_not_cut_it() -> None:
    both = Secrets({"var.a": "12345678", "var.b": "0123456789"}, b"key")
    assert both.hidden("0123456789 12345678") == f"{HIDDEN} {HIDDEN}"
    assert both.opened(both.masked("0123456789 12345678")) == "0123456789 12345678"


def test_a_rotation_shows_and_is_told_from_any_other_change() -> None:
    new = Secrets({"var.token": "another-value"}, b"k" * 32)
    old_text, new_text = KNOWN.masked(f"Bearer {TOKEN}"), new.masked("Bearer another-value")
    assert old_text != new_text
    assert is_rotation(old_text, new_text)
    assert settled(old_text) == settled(new_text) == "Bearer ${secret:var.token}"
    assert not is_rotation(old_text, old_text)
    assert not is_rotation(old_text, new.masked("Basic another-value"))
    assert not is_rotation("plain", new_text)
    assert not is_rotation(old_text, None)


def test_another_key_gives_another_digest() -> None:
    assert Secrets({}, b"one").digest("x") != Secrets({}, b"two").digest("x")


def test_what_is_not_known_stays_sealed_and_is_named() -> None:
    sealed = KNOWN.masked([TOKEN, "correct horse"])
    less = Secrets({"env.DB_PASSWORD": "correct horse"})
    assert less.opened(sealed)[0] == sealed[0]
    assert less.opened(sealed)[1] == "correct horse"
    assert less.missing(sealed) == {"var.token"}
    assert Secrets().missing(sealed) == {"var.token", "env.DB_PASSWORD"}
    assert KNOWN.missing(sealed) == frozenset()


def test_a_text_without_secrets_is_the_same_object() -> None:
    tree = {"a": ["b"]}
    assert Secrets().masked(tree) is tree
    assert Secrets().hidden(tree) is tree


def test_what_was_announced_is_left_out_of_everything_that_is_said(fresh: None) -> None:
    assert secret.redacted(TOKEN) == TOKEN
    secret.announce(KNOWN)
    secret.announce(KNOWN)
    secret.announce(Secrets())
    secret.announce(Secrets({"var.token": "of another environment"}))
    assert secret.redacted({"a": f"{TOKEN} of another environment"}) == {"a": f"{HIDDEN} {HIDDEN}"}
    assert len(secret._announced) == 2


@given(texts, st.text(max_size=20), st.text(max_size=20))
def test_no_text_around_a_secret_keeps_it_from_being_found_or_restored(value: str, before: str, after: str) -> None:
    secrets = Secrets({"var.x": value}, b"key")
    text = f"{before}{value}{after}"
    assert all(value not in part for part in secrets.hidden(text).split(HIDDEN))
    if value not in f"{before}{after}" and HIDDEN not in secrets.masked(text) and "${secret:" not in text:
        assert secrets.opened(secrets.masked(text)) == text

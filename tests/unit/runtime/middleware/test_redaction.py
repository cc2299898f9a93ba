from __future__ import annotations

import time

import pytest

from mlctl.runtime.middleware.content import Content
from mlctl.runtime.middleware.redaction import masked


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("write to ann.b+c@shop.example.", "write to [email]."),
        ("call +49 170 1234567 now", "call [phone] now"),
        ("call (030) 123-45678", "call [phone]"),
        ("appelez 01.23.45.67.89", "appelez [phone]"),
        ("card 4111 1111 1111 1111", "card [card]"),
        ("card 4111-1111-1111-1112 is no card", "card [number] is no card"),
        ("to DE89 3704 0044 0532 0130 00", "to [account]"),
        ("key sk-abcdefghijklmnop1234 ok", "key [key] ok"),
        ("ghp_abcdefghijklmnopqrstuvwxyz", "[key]"),
        ("AKIAIOSFODNN7EXAMPLE", "[key]"),
        ("Authorization: Bearer abc.def.ghi", "Authorization: Bearer [key]"),
        ('{"api_key": "hunter22"}', '{"api_key": "[key]"}'),
        ("password=correcthorse", "password=[key]"),
        ("OPENAI_API_KEY=abc123def456", "OPENAI_API_KEY=[key]"),
        ("export DB_PASSWORD='hunter22'", "export DB_PASSWORD='[key]'"),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG", "aws_secret_access_key = [key]"),
        ("client_secret: abcdefgh1234", "client_secret: [key]"),
        ("ACCESS_KEY=abcdefgh1", "ACCESS_KEY=[key]"),
        ("token=abcdef123456", "token=[key]"),
        ("Authorization: Basic dXNlcjpwYXNzd29yZA==", "Authorization: Basic [key]"),
        ("postgres://bob:hunter2pw@localhost/db", "postgres://bob:[key]@localhost/db"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc", "[key]"),
        ("jwt-eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc.", "jwt-[key]."),
        (f"eyJ{'a' * 4000}.eyJzdWIiOiIxIn0.abc", "[key]"),  # with the certificates in its head
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "[key]"),
    ],
)
def test_what_tells_who_somebody_is_or_lets_in_is_taken_out(text: str, found: str) -> None:
    assert masked(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "on 2026-11-22 at 16:37",
        "2026-11-22 16:37:05",
        "max_tokens: 128000",
        "at http://localhost:8080/a@b",
        "a basic understanding",
        "12345678",
        "pi is 3.14159265358979",
        "1,000,000,000 people",
        "version 1.2.3",
        "release 10.20.30",
        "0.123456789012",
        "the password is long",
        "a@b",
    ],
)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "1 " * 40_000,
        "a@" * 40_000,
        "-----BEGIN PRIVATE KEY-----" * 2_000,
        "bearer " * 10_000,
        "a." * 40_000,
        "secret_" * 10_000,
        "://a:" * 20_000,
        "://" + "a" * 80_000,
        "eyJ-" * 20_000,
        "eyJ-" * 256 + "." + "a" * 80_000,
        ("eyJ-" * 64 + ".") * 300,
    ],
)
def test_no_text_takes_long(text: str) -> None:
    began = time.perf_counter()
    masked(text)
    assert time.perf_counter() - began < 2.0


def test_a_secret_at_the_cut_is_masked_before_it_is_cut() -> None:
    body = b'{"prompt": "%s"}' % (b"x" * (64 * 1024 - 10) + b" ann@shop.example")
    kept = Content(body, None, "redacted").row()["prompt"]
    assert kept.endswith(" [email]")


@pytest.mark.parametrize(
    ("asked", "prompt", "system"),
    [
        ('{"messages": [{"role": "developer", "content": "S"}, {"role": "user", "content": [{"type": "text", "text": "U"}, {"type": "image_url"}]}]}', "U\n[image_url]", "S"),
        ('{"system": "S", "messages": [{"role": "user", "content": "U"}]}', "U", "S"),
        ('{"instructions": "S", "input": "U"}', "U", "S"),
        ('{"prompt": ["a", "b"]}', "a\nb", None),
        ('{"input": ["a", "b"]}', "a\nb", None),
        ("not json", "", None),
        ("[1]", "", None),
        ('{"messages": 7, "prompt": {}}', "", None),
    ],
)  # fmt: skip
def test_prompts_of_every_api_are_read(asked: str, prompt: str, system: str | None) -> None:
    row = Content(asked.encode(), '{"a": 1}', "full").row()
    assert (row["prompt"], row["system"], row["answer_json"]) == (prompt, system, True)

"""A key that is refused is told with the value that was given."""

from mlctl.cli.commands.predict import _about_key
from mlctl.types.diagnostic import Diagnostic


def test_a_word_where_a_number_belongs_is_named() -> None:
    said = Diagnostic("predict.bad-key", "`user_id` is not a key; `user_id` is a 64-bit whole number")
    found = _about_key(said, {"user_id": "abc"})
    assert found.summary == "`abc` is not a whole number of 64 bits, and the key `user_id` is one"


def test_a_number_where_a_text_belongs_is_told_how_to_write_it() -> None:
    said = Diagnostic("predict.bad-key", "`code` is not a key; `code` is a text")
    found = _about_key(said, {"code": 42})
    assert (found.summary, found.fix) == (
        "`42` is taken for a number, and the key `code` is a text",
        'write it as `--data \'{"code": "42"}\'`',
    )


def test_other_refusals_stay_as_they_are() -> None:
    for code, summary in (("predict.bad-key", "`other` is a text"), ("predict.unreachable", "`code` is a text")):
        assert _about_key(Diagnostic(code, summary), {"code": 42}).summary == summary

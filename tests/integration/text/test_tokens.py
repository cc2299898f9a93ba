"""Which tokens of a document count towards the loss."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from mlctl.runtime.trainer.text.rows import Document
from mlctl.runtime.trainer.text.tokens import Encoder
from mlctl.types.jobs.train import TextForm
from tests.integration.text.jobs import refused
from tests.integration.text.tiny import TEMPLATE, make_model

FORGETFUL = "{% if messages | length > 2 %}{{ 'earlier: ' }}{% endif %}" + TEMPLATE


def form(**changed: Any) -> TextForm:
    return TextForm(**{"messages": "messages", "max_length": 64, "loss_on": "completions", **changed})


def turns(*texts: str) -> Document:
    """A conversation that the user begins."""
    roles = ("user", "assistant")
    return Document(1, [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)], None)


def counted(encoder: Encoder, document: Document) -> str:
    (tokens,) = encoder.encode([document])
    return str(encoder.tokenizer.decode(tokens.ids[tokens.counted]))


def test_of_a_conversation_the_answers_count_with_their_end_tokens(base: Path) -> None:
    document = turns("what is red", "the cat", "what is blue", "the dog")
    assert counted(Encoder(base, form()), document) == "the cat<|im_end|>the dog<|im_end|>"


def test_an_answer_that_ends_in_spaces_counts_whole(base: Path) -> None:
    assert counted(Encoder(base, form()), turns("what", "the cat \n")) == "the cat \n<|im_end|>"


def test_the_end_token_counts_although_rows_are_filled_up_with_it(base: Path) -> None:
    encoder = Encoder(base, form())
    (tokens,) = encoder.encode([turns("what", "the cat")])
    assert encoder.pad_token == encoder.tokenizer.eos_token_id
    assert tokens.ids[tokens.counted][-1] == encoder.pad_token


def test_the_tokens_are_those_of_the_chat_template(base: Path) -> None:
    encoder = Encoder(base, form())
    document = turns("what is red", "the cat")
    (tokens,) = encoder.encode([document])
    assert list(tokens.ids) == encoder.tokenizer.apply_chat_template(document.turns)["input_ids"]


def test_all_tokens_count_but_the_first_which_nothing_comes_before(base: Path) -> None:
    (tokens,) = Encoder(base, form(loss_on="all")).encode([turns("what", "the cat")])
    assert not tokens.counted[0]
    assert tokens.counted[1:].all()


def test_of_a_prompt_with_a_completion_the_completion_counts_and_is_ended(base: Path) -> None:
    encoder = Encoder(base, form(messages=None, prompt="p", completion="c"))
    document = Document(
        1, [{"role": "prompt", "content": "what is"}, {"role": "completion", "content": " the cat"}], None
    )
    assert counted(encoder, document) == " the cat<|im_end|>"
    given, expected = encoder.prompt(document) or ([], "")
    (tokens,) = encoder.encode([document])
    assert list(tokens.ids[: len(given)]) == given  # as it is when the model is asked
    assert expected == " the cat"


def test_a_text_counts_whole_and_is_ended(base: Path) -> None:
    encoder = Encoder(base, form(messages=None, text="t", loss_on="all"))
    document = Document(1, [{"role": "text", "content": "the cat is red"}], None)
    (tokens,) = encoder.encode([document])
    assert encoder.tokenizer.decode(tokens.ids) == "the cat is red<|im_end|>"
    assert encoder.prompt(document) is None


def test_the_prompt_of_a_conversation_is_all_before_its_last_answer(base: Path) -> None:
    encoder = Encoder(base, form())
    given, expected = encoder.prompt(turns("one", "two", "three", "cat")) or ([], "")
    assert encoder.tokenizer.decode(given).endswith("three<|im_end|>\n<|im_start|>assistant\n")
    assert expected == "cat"


def test_a_template_that_writes_beginnings_otherwise_is_refused_where_answers_count(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base", template=FORGETFUL)
    document = turns("one", "two", "three", "cat")
    with refused("training.bad-document", "row 1", "differently when more follows"):
        Encoder(base, form()).encode([document])
    assert Encoder(base, form(loss_on="all")).encode([document])
    assert counted(Encoder(base, form()), turns("one", "two")) == "two<|im_end|>"


@pytest.mark.parametrize(
    ("turn", "why"),
    [
        ({"role": "tool", "content": "4"}, "refuses it: unknown role"),
        ({"role": "assistant", "content": "4"}, "begins with an answer"),
    ],
)
def test_a_conversation_that_the_template_refuses_is_named(base: Path, turn: dict[str, str], why: str) -> None:
    document = Document(7, [turn, {"role": "assistant", "content": "x"}], None)
    with refused("training.bad-document", "row 7", why):
        Encoder(base, form()).encode([document])


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base")
    config = base / "config.json"
    config.write_text(re.sub(r'"vocab_size": \d+', '"vocab_size": 270', config.read_text()))
    with refused("training.tokenizer-mismatch", "the model knows 270"):
        Encoder(base, form()).encode([turns("what is the colour", "cat dog bird")])


def test_rows_are_no_longer_than_the_model_takes(base: Path) -> None:
    assert Encoder(base, form(max_length=256))
    with refused("training.too-long", "at most 256 tokens"):
        Encoder(base, form(max_length=257))


def test_conversations_need_a_chat_template(tmp_path: Path) -> None:
    with refused("training.no-chat-template"):
        Encoder(make_model(tmp_path / "base", template=None), form())

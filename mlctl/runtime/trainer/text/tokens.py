"""From documents to tokens, and which of them count towards the loss.

Of a conversation these are the assistant's turns with the token that ends each. They are found by rendering its beginnings with
the model's own chat template: what `add_generation_prompt` renders before a turn is given, what follows is the turn.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlctl.runtime.trainer.text.rows import ANSWERS, Document
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.train import TextForm


@dataclass(frozen=True, slots=True)
class Tokens:
    """One document: its tokens, and which of them are foretold."""

    ids: Any  # int32 (tokens,)
    counted: Any  # bool (tokens,); never the first, which nothing comes before


class Encoder:
    """Makes tokens of documents by a model's tokenizer and chat template."""

    def __init__(self, base: Path, form: TextForm) -> None:
        self.tokenizer = load_tokenizer(base)
        self._form, self._base = form, base
        self.vocabulary = vocabulary_of(base)
        if form.messages is not None and self.tokenizer.chat_template is None:
            raise MlctlError.of(
                "training.no-chat-template",
                f"the tokenizer of `{base.name}` has no chat template",
                "`data.messages` are made into text by the model's own template",
                "take a model that was made for chat, or give `data.prompt` and `data.completion`",
            )
        if form.messages is None and self.tokenizer.eos_token_id is None:
            raise MlctlError.of(
                "training.no-end-token",
                f"the tokenizer of `{base.name}` has no token for the end of a text",
                "the model would not learn where to stop",
                "set `eos_token` in its tokenizer_config.json",
            )
        longest = _positions(base)
        if longest is not None and form.max_length > longest:
            raise MlctlError.of(
                "training.too-long",
                f"`data.max_length` is {form.max_length:,}",
                f"`{base.name}` takes at most {longest:,} tokens (max_position_embeddings)",
                f"set it to {longest} at most",
            )

    @property
    def pad_token(self) -> int:
        """What fills a row up. It may be the end token as well: padding is told by place, never by this number."""
        for found in (self.tokenizer.pad_token_id, self.tokenizer.eos_token_id):
            if found is not None:
                return int(found)
        return 0

    def encode(self, documents: Sequence[Document]) -> list[Tokens]:
        """The tokens of each, however many; none for an empty one. Raises MlctlError."""
        if not documents:
            return []
        found = self._chats(documents) if self._form.messages is not None else self._texts(documents)
        top = max((int(item.ids.max()) for item in found if len(item.ids)), default=0)
        if top >= self.vocabulary:
            raise MlctlError.of(
                "training.tokenizer-mismatch",
                f"the tokenizer of `{self._base.name}` gives token {top}; the model knows {self.vocabulary}",
                "tokenizer and weights are not of the same model",
                "put the model's own tokenizer files into its folder",
            )
        return found

    def prompt(self, document: Document) -> tuple[list[int], str] | None:
        """What the model is given, and the answer that is expected: the last of a conversation. None when there is none."""
        if self._form.messages is not None:
            last = max((i for i, turn in enumerate(document.turns) if turn["role"] == ANSWERS), default=0)
            if not last:
                return None
            given = self._render(document, document.turns[:last], prompt=True)
            return self._ids([given])[0], str(document.turns[last]["content"])
        if self._form.completion is None:
            return None
        prompt = "".join(turn["content"] for turn in document.turns if turn["role"] == "prompt")
        return self._ids([prompt], special=True)[0], str(document.turns[-1]["content"])

    def _chats(self, documents: Sequence[Document]) -> list[Tokens]:
        texts = [self._render(document, document.turns) for document in documents]
        coded = self.tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        found = []
        for document, text, ids, offsets in zip(
            documents, texts, coded["input_ids"], coded["offset_mapping"], strict=True
        ):
            counted = np.ones(len(ids), dtype=bool)
            if self._form.loss_on == "completions":
                places = np.asarray(offsets, dtype=np.int64).reshape(-1, 2)
                counted[:] = False
                for start, end in self._answers(document, text):
                    counted |= (places[:, 0] >= start) & (places[:, 1] <= end) & (places[:, 1] > places[:, 0])
            found.append(_tokens(ids, counted))
        return found

    def _answers(self, document: Document, text: str) -> list[tuple[int, int]]:
        """Where the assistant's turns stand in a conversation as it is rendered, each from its first character to its end token."""
        found = []
        for index, turn in enumerate(document.turns):
            if turn["role"] != ANSWERS:
                continue
            if index == 0:
                raise _bad_chat(document, "it begins with an answer", "begin each conversation with what the user says")
            before = self._render(document, document.turns[:index], prompt=True)
            after = text if index + 1 == len(document.turns) else self._render(document, document.turns[: index + 1])
            if not after.startswith(before) or not text.startswith(after):
                raise _bad_chat(
                    document,
                    "the chat template writes the beginning of a conversation differently when more follows, "
                    f"so that the answer in message {index + 1} cannot be told from what leads up to it",
                    "make each answer the last message of a row of its own, or set `data.loss_on: all`",
                )
            found.append((len(before), _end(after, len(before), self.tokenizer.all_special_tokens)))
        return found

    def _render(self, document: Document, turns: Sequence[dict[str, Any]], *, prompt: bool = False) -> str:
        import jinja2

        try:
            return str(self.tokenizer.apply_chat_template(list(turns), tokenize=False, add_generation_prompt=prompt))
        except (
            jinja2.TemplateError,
            TypeError,
            KeyError,
            IndexError,
            ValueError,
        ) as error:  # a template raises anything
            roles = ", ".join(turn["role"] for turn in turns)
            raise _bad_chat(
                document,
                f"the chat template of `{self._base.name}` refuses it: {error} (roles: {roles})",
                "give the conversations the roles, and their order, that the template knows",
            ) from None

    def _texts(self, documents: Sequence[Document]) -> list[Tokens]:
        """Prompts and completions, each coded by itself as it is when the model is used; a text and an answer are ended."""
        end = int(self.tokenizer.eos_token_id)
        starts = self._ids([_part(document, ("prompt", "text")) for document in documents], special=True)
        if self._form.completion is None:
            ended = [ids if ids[-1:] == [end] else [*ids, end] for ids in starts]
            return [_tokens(ids, np.ones(len(ids), dtype=bool)) for ids in ended]
        answers = self._ids([_part(document, ("completion",)) for document in documents])
        found = []
        for given, answer in zip(starts, answers, strict=True):
            counted = np.ones(len(given) + len(answer) + 1, dtype=bool)
            if self._form.loss_on == "completions":
                counted[: len(given)] = False
            found.append(_tokens([*given, *answer, end], counted))
        return found

    def _ids(self, texts: list[str], *, special: bool = False) -> list[list[int]]:
        """The tokens of each, with what the tokenizer puts before a text if asked for."""
        coded: list[list[int]] = self.tokenizer(texts, add_special_tokens=special, verbose=False)["input_ids"]
        end = self.tokenizer.eos_token_id
        if special and self._form.completion is not None:  # no end before the answer
            coded = [ids[:-1] if ids[-1:] == [end] and len(ids) > 1 else ids for ids in coded]
        return coded


def load_tokenizer(base: Path) -> Any:
    """The tokenizer in a model's folder. Raises MlctlError when there is none that tells where each token comes from."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(base), local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        raise MlctlError.of(
            "training.no-tokenizer",
            f"`{base}` has no tokenizer that can be loaded",
            str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__,
            "put the model's tokenizer.json and tokenizer_config.json into the folder",
        ) from None
    if not tokenizer.is_fast:
        raise MlctlError.of(
            "training.no-tokenizer",
            f"the tokenizer in `{base}` is of the slow kind",
            "it cannot say which characters a token stands for",
            "save it as tokenizer.json (`convert_slow_tokenizer` of Transformers)",
        )
    return tokenizer


def config_of(base: Path) -> Any:
    """The configuration of the language model in a folder. Raises MlctlError."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(str(base), local_files_only=True).get_text_config()
    except (OSError, ValueError, KeyError) as error:
        raise MlctlError.of(
            "training.bad-base",
            f"the config.json in `{base}` cannot be read",
            str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__,
            "take a model that Transformers knows",
        ) from None


def vocabulary_of(base: Path) -> int:
    """How many tokens the model knows."""
    return int(config_of(base).vocab_size)


def _positions(base: Path) -> int | None:
    found = getattr(config_of(base), "max_position_embeddings", None)
    return int(found) if found else None


def _end(text: str, start: int, special: Sequence[str]) -> int:
    """Where an answer ends: after its end token, without the space that a template puts between turns."""
    shorter = text[start:].rstrip()
    return start + len(shorter) if shorter.endswith(tuple(special)) else len(text)


def _part(document: Document, roles: Sequence[str]) -> str:
    return "".join(turn["content"] for turn in document.turns if turn["role"] in roles)


def _tokens(ids: Sequence[int], counted: Any) -> Tokens:
    counted[:1] = False
    return Tokens(np.asarray(ids, dtype=np.int32), counted)


def _bad_chat(document: Document, why: str, fix: str) -> MlctlError:
    why = re.sub(r"\s+", " ", why)
    return MlctlError.of("training.bad-document", f"row {document.row:,} cannot be learnt from", why, fix)

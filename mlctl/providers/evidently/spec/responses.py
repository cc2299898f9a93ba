"""`responses`: how answers are, how often they are none, and what golden prompts are answered."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from mlctl.provider import Block, Reference
from mlctl.providers.evidently.spec.labels import Name
from mlctl.providers.evidently.spec.prompts import Compared
from mlctl.types.units import Duration

DAY_SECONDS = 86400.0
MARGINS = {"length": 0.1, "finish_reason": 0.05, "refused": 0.02, "empty": 0.01, "not_json": 0.02}
# How models decline, in the first sentence of an answer. They are looked for anywhere in its first 300 characters.
REFUSALS = {
    "en": [
        r"\bI(?:'m| am) (?:very |really |so )?sorry\b.{0,40}\b(?:can(?:no|')t|unable|won't|not able)",
        r"\bI (?:can(?:no|')t|won't|(?:am|'m) (?:unable|not able) to|must decline to) (?:\w+ )?(?:help|assist|provide|comply|fulfil|do|answer|create|support|engage|discuss)",
        r"\bI'm (?:unable|not able) to\b",
        r"\bI(?:'m| am) not (?:comfortable|allowed|permitted)\b",
        r"\bas an AI(?: language)? (?:model|assistant)\b.{0,60}\b(?:can(?:no|')t|unable|not able|don't)",
        r"\bagainst my (?:guidelines|policy|programming)\b",
    ],
    "de": [
        r"\b(?:das |dabei |damit |hierbei |dazu )?(?:kann|darf|werde|möchte) ich (?:Ihnen |dir |das |dabei |damit |hierbei |dazu |leider )*(?:nicht|keine)\b",
        r"\bich (?:kann|darf|werde|möchte) (?:Ihnen |dir |das |dabei |damit |hierbei |dazu |leider )*(?:nicht (?:helfen|weiterhelfen|beantworten|unterstützen|erfüllen)|keine\b)",
        r"\btut mir leid\b.{0,60}\b(?:kann|darf|nicht)\b",
        r"\bich bin nicht in der Lage\b",
        r"\bals (?:KI|Sprachmodell)\b.{0,60}\b(?:kann|darf)\b.{0,40}\bnicht\b",
    ],
    "fr": [
        r"\bje (?:suis|regrette|m'excuse)\b.{0,40}\b(?:désolé|ne peux pas|ne suis pas)",
        r"\bje ne (?:peux|suis) pas (?:en mesure|vous aider|répondre|fournir|autorisé)",
        r"\bje ne peux pas\b",
    ],
    "es": [
        r"\blo siento\b.{0,40}\bno (?:puedo|me es posible)",
        r"\bno puedo (?:ayudar|ayudarte|ayudarle|proporcionar|responder|cumplir)",
    ],
    "it": [r"\bmi dispiace\b.{0,40}\bnon (?:posso|sono in grado)", r"\bnon posso (?:aiutar|fornire|rispondere|soddisfare)"],
}  # fmt: skip


def pattern(text: str) -> str:
    """A regular expression. Raises ValueError."""
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"`{text}` is no regular expression: {error}") from None
    if re.search(text, "") is not None:
        raise ValueError(f"`{text}` is found in every answer, in an empty one too")
    return text


Pattern = Annotated[str, Field(min_length=3, max_length=500), AfterValidator(pattern)]


class Golden(Block):
    """Prompts that are asked of the deployment at temperature 0, and whose answers should stay what they are."""

    dataset: Annotated[str, Reference("datasets")]
    prompt: Name
    answer: Annotated[Name | None, Field(description="The column with the answer; the first answers when left out")] = None  # fmt: skip
    system: Annotated[str | None, Field(min_length=1, description="Instructions that go with every prompt")] = None
    every: Annotated[Duration, Field(gt=0, description="Runs in between go by what was answered last")] = DAY_SECONDS
    most: Annotated[int, Field(ge=5, le=500, description="Prompts that are asked, at most")] = 50
    max_tokens: Annotated[int, Field(ge=1, le=4096)] = 256
    timeout: Annotated[Duration, Field(gt=0, le=600, description="Of one answer")] = 60.0
    compare: Literal["similarity", "exact"] = "similarity"
    margin: Annotated[float, Field(gt=0, lt=1, description="How much worse than at first is worth an alarm")] = 0.1
    token: Annotated[
        str | None, Field(min_length=1, description="What the deployment wants to see, a secret such as `${env.API_TOKEN}`")
    ] = None  # fmt: skip


class Responses(Compared):
    """Tests of lengths, of why answers end, and of how many are refused, empty or no JSON, decided together."""

    expect: Annotated[
        Literal["json"] | None, Field(description="Every answer is to be JSON; else those whose request asked for it")
    ] = None
    margin: Annotated[
        dict[Literal["length", "finish_reason", "refused", "empty", "not_json"], Annotated[float, Field(ge=0, lt=1)]],
        Field(description="Largest gap of the distribution functions; share of answers"),
    ] = Field(default_factory=dict)
    refusals: Annotated[
        dict[str, Annotated[list[Pattern], Field(min_length=1)]] | Literal[False] | None,
        Field(description="By language, patterns of refusals in place of our own; `false`: they are not looked for"),
    ] = None
    languages: Annotated[
        list[Literal["en", "de", "fr", "es", "it"]] | None, Field(min_length=1, description="Of our own patterns")
    ] = None
    golden: Golden | None = None

    @model_validator(mode="after")
    def _used(self) -> Responses:
        if self.languages is not None and self.refusals is not None:
            raise ValueError(
                "`languages` has no effect beside `refusals`: it chooses among the patterns that are built in"
            )
        if self.refusals is False and "refused" in self.margin:
            raise ValueError("the margin of `refused` has no effect: refusals are not looked for")
        return self

    @property
    def patterns(self) -> dict[str, list[str]]:
        """What is looked for."""
        if self.refusals is False:
            return {}
        if self.refusals is not None:
            return dict(self.refusals)
        return {name: found for name, found in REFUSALS.items() if self.languages is None or name in self.languages}

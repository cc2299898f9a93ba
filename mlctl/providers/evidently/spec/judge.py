"""`judge`: a language model that judges a sample of the answers, and the human labels that it is judged by."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from mlctl.provider import Block, Reference
from mlctl.providers.evidently.spec.actions import web
from mlctl.providers.evidently.spec.labels import Name
from mlctl.providers.evidently.spec.prompts import Compared
from mlctl.types.units import MOST, Duration

SEED = 20_261_122


def _rubric(text: str) -> str:
    if "{{" in text or "}}" in text:
        raise ValueError("the rubric is plain text: what was asked and answered is put below it")
    return text


class HumanLabels(Block):
    """Answers that people passed or failed: the judge rules on them too, and may alarm once it agrees with people."""

    dataset: Annotated[str, Reference("datasets")]
    prompt: Name
    answer: Name
    label: Annotated[Name, Field(description="1 or true for an answer that passes, 0 or false for one that does not")]


class JudgeSpec(Compared):
    """Whether more answers fail than before. Without 100 human labels and a kappa of 0.6 the judge only warns."""

    url: Annotated[str, AfterValidator(web), Field(description="Of an API like OpenAI's, such as `http://127.0.0.1:8000/v1`")]  # fmt: skip
    model: Name
    api_key: Annotated[str | None, Field(min_length=1, description="A secret, such as `${env.JUDGE_KEY}`")] = None
    rubric: Annotated[str, Field(min_length=20, max_length=8000), AfterValidator(_rubric)]
    sample: Annotated[int, Field(ge=30, le=2000, description="Answers of each side that are judged, at most")] = 150
    seed: Annotated[int, Field(ge=0, lt=MOST)] = SEED
    parallel: Annotated[int, Field(ge=1, le=32, description="Requests at a time")] = 4
    timeout: Annotated[Duration, Field(gt=0, le=600, description="Of one verdict")] = 60.0
    margin: Annotated[float, Field(ge=0, lt=1, description="How many more may fail before it is an alarm")] = 0.05
    human_labels: HumanLabels | None = None
    anchors: Annotated[
        int | None,
        Field(ge=0, le=200, description="Labelled answers that are judged anew in each run, to see the judge change; 20 when left out"),
    ] = None  # fmt: skip

    @model_validator(mode="after")
    def _possible(self) -> JudgeSpec:
        if self.min_rows > self.sample:
            raise ValueError(f"{self.sample} answers are judged, and `min_rows` wants {self.min_rows} of them")
        if self.anchors and self.human_labels is None:
            raise ValueError("`anchors` has no effect without `human_labels`: they are drawn from those")
        return self

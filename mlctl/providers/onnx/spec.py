"""What an `exports` block may say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from mlctl.provider import Block, Provided, Reference, Spec
from mlctl.types.jobs.export import Format, Precision
from mlctl.types.jobs.used_model import check_name
from mlctl.types.units import MOST, Share


class RequireSpec(Block):
    """How far the exported model may be from its source on the rows of the dataset."""

    max_abs: Annotated[float | None, Field(ge=0, description="The largest difference of a score")] = None
    agreement: Annotated[
        Share | None,
        Field(description="The least share of rows with the same class, or of prompts with the same answer"),
    ] = None
    drop: Annotated[
        dict[str, Annotated[float, Field(ge=0)]],
        Field(
            default_factory=dict, description="How much worse a metric may be, by name, for example `roc_auc: 0.002`"
        ),
    ]


class GenerateSpec(Block):
    """What both language models are asked; each takes the likeliest token every time."""

    prompt: Annotated[str | None, Field(min_length=1, description="A column of texts")] = None
    messages: Annotated[str | None, Field(min_length=1, description="A column of lists of {role, content}")] = None
    max_new_tokens: Annotated[int, Field(ge=1, lt=MOST)] = 32
    documents: Annotated[int, Field(ge=1, lt=MOST, description="How many prompts are answered, at most")] = 50
    python: Annotated[
        str | None,
        Field(min_length=1, description="The interpreter of an environment with xllamacpp; without it mlctl's own"),
    ] = None

    @model_validator(mode="after")
    def _one(self) -> GenerateSpec:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("state either `prompt` or `messages`: the column that the models answer")
        return self


class ExportSpec(Spec):
    """A model in another format, and a gate: it has to give what its source gives."""

    model: Annotated[
        str,
        Provided("model"),
        AfterValidator(check_name),
        Field(description="`name@alias` that an evaluation registers, or `${training.NAME.model}`"),
    ]
    format: Annotated[
        Format,
        Field(description="ONNX for models of rows, with weights as they are or of 8 bits; GGUF for language models"),
    ]
    precision: Annotated[Precision | None, Field(description="Of the weights of a GGUF file; without it `f16`")] = None
    dataset: Annotated[str, Reference("datasets"), Field(description="Rows that both models are given")]
    features: Annotated[
        list[Annotated[str, Reference("feature_views")]],
        Field(default_factory=list, description="The feature views that the model reads"),
    ]
    target: Annotated[str | None, Field(min_length=1, description="The column with the truth, for `require.drop`")] = (
        None
    )
    rows: Annotated[
        int | None, Field(ge=1, description="Rows of the dataset that are compared, at most; without it 10,000")
    ] = None
    require: RequireSpec
    generate: Annotated[GenerateSpec | None, Field(description="For `format: gguf`, and only for it")] = None

    @model_validator(mode="after")
    def _fits(self) -> ExportSpec:
        for problem in self._problems():
            raise ValueError(problem)
        return self

    def _problems(self) -> Iterator[str]:
        limits = self.require
        if limits.max_abs is None and limits.agreement is None and not limits.drop:
            yield "`require` is empty: state `max_abs`, `agreement` or `drop`, so that an export is held against its source"
        if bool(limits.drop) != (self.target is not None):
            yield "`require.drop` and `target` go together: a metric needs the truth, and nothing else does"
        texts = self.format == "gguf"
        if texts and self.generate is None:
            yield "`format: gguf` needs `generate: {prompt: COLUMN}` or `generate: {messages: COLUMN}`: what both models answer"
        if texts and (limits.max_abs is not None or limits.drop or limits.agreement is None):
            yield "`format: gguf` is judged by `require: {agreement: SHARE}`: the share of prompts with the same answer"
        for name, useful in (("generate", texts), ("precision", texts), ("features", not texts), ("rows", not texts)):
            if getattr(self, name) and not useful:
                yield f"`{name}` has no effect with `format: {self.format}`"

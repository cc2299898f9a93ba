"""What blocks say of pods, whichever kind has them made: names and amounts as Kubernetes writes them, Secrets, tolerations."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from mlctl.provider import Block

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|[kKMGTP]i?)?")
_RESOURCE = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?/[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET_KEY = re.compile(r"([a-z0-9]([a-z0-9.-]*[a-z0-9])?)/([A-Za-z0-9._-]+)")


def shaped(pattern: re.Pattern[str], what: str) -> AfterValidator:
    """A text has to be as a pattern has it."""

    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(f"{text!r} is not {what}")
        return text

    return AfterValidator(check)


def variable(taken: re.Pattern[str]) -> AfterValidator:
    """The name of an environment variable that nobody else gives a value to."""

    def check(text: str) -> str:
        if not _VARIABLE.fullmatch(text):
            raise ValueError(f"{text!r} is not the name of an environment variable")
        if taken.fullmatch(text):
            raise ValueError(f"{text!r} is given a value by mlctl or the cluster")
        return text

    return AfterValidator(check)


def of_number(value: object) -> object:
    """`cpus: 8` is as good as `cpus: "8"`."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def secret_key(value: object) -> object:
    """`NAME/KEY` is short for `{secret: NAME, key: KEY}`."""
    if isinstance(value, str):
        match = _SECRET_KEY.fullmatch(value)
        if match is None:
            raise ValueError(f"{value!r} is not a key of a Secret; write `SECRET/KEY`")
        return {"secret": match[1], "key": match[3]}
    return value


def place(value: object) -> object:
    """`s3://bucket/prefix` is short for `{url: ...}`."""
    return {"url": value.rstrip("/")} if isinstance(value, str) else value


Label = Annotated[str, shaped(_LABEL, "a name in Kubernetes; write lower case letters, digits and dashes")]
Quantity = Annotated[str, shaped(_QUANTITY, "an amount in Kubernetes; write for example `4`, `500m` or `64Gi`")]
Cpus = Annotated[Quantity, BeforeValidator(of_number)]
Resource = Annotated[str, shaped(_RESOURCE, "a resource; write for example `nvidia.com/gpu`")]


class SecretValue(Block):
    """One value of a Secret that is in the namespace already."""

    secret: Annotated[str, Field(min_length=1)]
    key: Annotated[str, Field(min_length=1)]


class Tolerate(Block):
    """Lets pods onto nodes with a taint."""

    key: Annotated[str, Field(min_length=1)]
    operator: Literal["Exists", "Equal"] = "Exists"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None

    @model_validator(mode="after")
    def _of_its_operator(self) -> Tolerate:
        if (self.value is not None) != (self.operator == "Equal"):
            raise ValueError("`value` goes with `operator: Equal`, and with that alone")
        return self

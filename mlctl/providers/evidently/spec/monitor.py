"""The spec of a monitor: what is watched, what it is compared with, and when to raise an alarm."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field, model_validator

from mlctl.provider import Link, Reference, Spec
from mlctl.providers.evidently.spec.actions import OnAlarm
from mlctl.providers.evidently.spec.cost import Cost
from mlctl.providers.evidently.spec.data import DataDrift
from mlctl.providers.evidently.spec.estimated import Estimated
from mlctl.providers.evidently.spec.judge import JudgeSpec
from mlctl.providers.evidently.spec.labels import Labels
from mlctl.providers.evidently.spec.prompts import Prompts
from mlctl.providers.evidently.spec.proxies import Proxy
from mlctl.providers.evidently.spec.responses import Responses
from mlctl.types.change import EdgeKind


class MonitorSpec(Spec):
    """A monitor of a deployment. Each block but `deployment`, `reference`, `evaluation` and `on_alarm` is a part, which watches one thing."""

    deployment: Annotated[str, Reference("deployments")]
    reference: Annotated[str | None, Field(min_length=1)] = None  # a training profile
    # the evaluation that judged the model: what `labels` and `estimated` compare with
    evaluation: Annotated[str | None, Reference("evaluations")] = None
    data: DataDrift | None = None
    labels: Labels | None = None
    estimated: Estimated | None = None
    proxies: Annotated[list[Proxy] | None, Field(min_length=1)] = None
    prompts: Prompts | None = None
    responses: Responses | None = None
    cost: Cost | None = None
    judge: JudgeSpec | None = None
    on_alarm: OnAlarm | None = None

    @model_validator(mode="after")
    def _used(self) -> MonitorSpec:
        if self.evaluation is not None and self.labels is None and self.estimated is None:
            raise ValueError("`evaluation` has no effect: it is for `labels` and `estimated`")
        return self

    def links(self) -> Iterable[Link]:
        """A training is named, not used: it has to exist, and whoever trains it asks for it."""
        for address in () if self.on_alarm is None else self.on_alarm.trainings():
            yield Link(("on_alarm", "retrain"), address, EdgeKind.ORDER)

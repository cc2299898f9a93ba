"""The parts of monitors, in the order in which they are told."""

from __future__ import annotations

from mlctl.providers.evidently.part import Part
from mlctl.providers.evidently.parts.cost import CostPart
from mlctl.providers.evidently.parts.data import DataDriftPart
from mlctl.providers.evidently.parts.estimated import EstimatedPart
from mlctl.providers.evidently.parts.judge import JudgePart
from mlctl.providers.evidently.parts.labels import LabelsPart
from mlctl.providers.evidently.parts.prompts import PromptsPart
from mlctl.providers.evidently.parts.proxies import ProxiesPart
from mlctl.providers.evidently.parts.responses import ResponsesPart

PARTS: tuple[Part, ...] = (
    DataDriftPart(),
    LabelsPart(),
    EstimatedPart(),
    ProxiesPart(),
    PromptsPart(),
    ResponsesPart(),
    CostPart(),
    JudgePart(),
)

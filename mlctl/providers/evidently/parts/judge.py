"""The part `judge`: a language model judges answers, and people judge the judge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from mlctl.provider import Context, Desired
from mlctl.providers.evidently import outcomes
from mlctl.providers.evidently.part import Frozen
from mlctl.providers.evidently.parts.llm import asked_folder, compared, rows_of, spans_text, tests_text
from mlctl.providers.evidently.parts.responses import plain_secret
from mlctl.providers.evidently.spec.judge import HumanLabels
from mlctl.providers.evidently.spec.monitor import MonitorSpec
from mlctl.types.diagnostic import Diagnostic
from mlctl.types.value import Json

_ANCHORS = 20


class JudgePart:
    """More answers that fail than before, once the judge may be believed."""

    name: ClassVar[str] = "judge"

    def check(self, spec: MonitorSpec, ctx: Context) -> Iterable[Diagnostic]:
        """The key is a secret."""
        if spec.judge is not None:
            yield from plain_secret(spec.judge.api_key, ctx, ("judge", "api_key"))

    def freeze(self, spec: MonitorSpec, desired: Desired, ctx: Context) -> Frozen:
        """Who judges what by which rubric, and by whom the judge is judged."""
        block = spec.judge
        if block is None:
            raise ValueError("the part has no block: `check` refuses that")
        labels = block.human_labels
        anchors = (0 if labels is None else _ANCHORS) if block.anchors is None else block.anchors
        return Frozen(
            {
                **compared(block), "url": block.url, "model": block.model, "api_key": block.api_key, "rubric": block.rubric,
                "seed": block.seed, "sample": block.sample, "parallel": block.parallel, "timeout_seconds": block.timeout,
                "margin": block.margin, "labels": None if labels is None else _labels(labels, desired), "anchors": anchors,
                "kept": asked_folder(desired, ctx),
            }
        )  # fmt: skip

    def describe(self, job: Mapping[str, Any]) -> str:
        """Who judges how much."""
        return f"{job['sample']} answers judged by {job['model']}, {spans_text(job)}"

    def text(self, figures: Mapping[str, Any]) -> Iterable[str]:
        """What the judge says, and what that is worth."""
        yield from tests_text(figures)
        for name, key in (("now", "rate"), ("before", "rate_before")):
            rate = figures[key]
            if rate["judged"] is not None:
                fixed = (
                    ""
                    if rate["corrected"] is None
                    else f"; {rate['corrected']:.1%} [{rate['low']:.1%}, {rate['high']:.1%}] as people would"
                )
                yield f"{name:<8} {rate['judged']:.1%} pass as judged{fixed}"
        agreed = figures["agreement"]
        if agreed is not None:
            yield f"judge    kappa {_short(agreed['kappa'])} on {agreed['labels']} labels, sensitivity {_short(agreed['sensitivity'])}, specificity {_short(agreed['specificity'])}"
        if figures["swap_consistency"] is not None:
            yield f"         {figures['swap_consistency']:.1%} of the verdicts stand when the options are swapped"
        yield from (f"warning  {text}" for text in figures["warnings"])


def _labels(block: HumanLabels, desired: Desired) -> dict[str, Json]:
    part = "judge.human_labels"
    source = rows_of(block.dataset, {"prompt": block.prompt, "answer": block.answer}, part, desired)
    outcomes.number(source, block.dataset, block.label, part, "label")
    return {
        "source": source.model_dump(mode="json"),
        "prompt": block.prompt,
        "answer": block.answer,
        "label": block.label,
    }


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"

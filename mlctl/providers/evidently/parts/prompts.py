"""The part `prompts`: templates that changed, and what is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from mlctl.provider import Context, Desired
from mlctl.providers.evidently import outcomes
from mlctl.providers.evidently.part import Frozen
from mlctl.providers.evidently.parts.llm import compared, spans_text, tests_text
from mlctl.providers.evidently.spec.monitor import MonitorSpec
from mlctl.providers.evidently.spec.prompts import MARGINS
from mlctl.types.diagnostic import Diagnostic


class PromptsPart:
    """A change of a template is told; drift of what is asked is tested."""

    name: ClassVar[str] = "prompts"

    def check(self, spec: MonitorSpec, ctx: Context) -> Iterable[Diagnostic]:
        """No margin without a test, and none that everything or nothing reaches."""
        block = spec.prompts
        if block is None or "topics" not in block.margin:
            return
        if not block.topics:
            yield outcomes.idle("prompts", "margin.topics", "topics are not looked at", "remove it, or `topics: false`")
        elif block.margin["topics"] < 0.5:
            yield Diagnostic(
                "monitor.bad-margin",
                f"a margin of {block.margin['topics']:g} makes no sense for `topics`",
                "it is an area under the ROC curve: 0.5 is not to be told apart, 1 is always",
                f"give 0.5 or more, and less than 1; the default is {MARGINS['topics']:g}",
                path=("prompts", "margin", "topics"),
            )

    def freeze(self, spec: MonitorSpec, desired: Desired, ctx: Context) -> Frozen:
        """What is compared."""
        block = spec.prompts
        if block is None:
            raise ValueError("the part has no block: `check` refuses that")
        return Frozen({**compared(block), "topics": block.topics, "margins": {**MARGINS, **block.margin}})

    def describe(self, job: Mapping[str, Any]) -> str:
        """What is held against what."""
        topics = " and topics" if job["topics"] else ""
        return f"prompts by templates, lengths{topics}, {spans_text(job)}"

    def text(self, figures: Mapping[str, Any]) -> Iterable[str]:
        """Templates that changed, then the tests."""
        for item in figures["changes"]:
            name = item["template"] or "no template"
            system = f", system {item['system_digest']}" if item["system_digest"] else ""
            yield f"{item['change']:<8} {name}{system}  n={item['requests']}"
        yield from tests_text(figures)

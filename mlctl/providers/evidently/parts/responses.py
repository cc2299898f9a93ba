"""The part `responses`: what is answered, and what golden prompts are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from mlctl.provider import Context, Desired
from mlctl.providers.evidently.part import Frozen
from mlctl.providers.evidently.parts.llm import asked_folder, compared, rows_of, spans_text, tests_text
from mlctl.providers.evidently.spec.monitor import MonitorSpec
from mlctl.providers.evidently.spec.responses import MARGINS, Golden
from mlctl.types.diagnostic import Diagnostic, MlctlError
from mlctl.types.secret import HIDDEN, sealed_names
from mlctl.types.units import format_duration
from mlctl.types.value import Json, digest


class ResponsesPart:
    """Tests of answers, decided together, and facts such as another model behind the same name."""

    name: ClassVar[str] = "responses"

    def check(self, spec: MonitorSpec, ctx: Context) -> Iterable[Diagnostic]:
        """A token is a secret."""
        golden = None if spec.responses is None else spec.responses.golden
        if golden is not None:
            yield from plain_secret(golden.token, ctx, ("responses", "golden", "token"))

    def freeze(self, spec: MonitorSpec, desired: Desired, ctx: Context) -> Frozen:
        """What is compared, which answers are refusals, and how golden prompts are asked."""
        block = spec.responses
        if block is None:
            raise ValueError("the part has no block: `check` refuses that")
        part: dict[str, Json] = {
            **compared(block),
            "margins": {**MARGINS, **block.margin},
            "refusals": block.patterns,
            "expect_json": block.expect == "json",
            "golden": None if block.golden is None else _golden(block.golden, spec.deployment, desired, ctx),
        }
        return Frozen(part)

    def describe(self, job: Mapping[str, Any]) -> str:
        """What is held against what."""
        golden = job["golden"]
        asked = "" if golden is None else f"; golden prompts every {format_duration(golden['every_seconds'])}"
        return f"answers by length, end, refusals and form, {spans_text(job)}{asked}"

    def text(self, figures: Mapping[str, Any]) -> Iterable[str]:
        """The tests, and what golden prompts were answered."""
        yield from tests_text(figures)
        if figures["golden"] is not None:
            yield f"golden   {figures['golden']['says']}"
            yield from (f"         changed: {prompt!r}" for prompt in figures["golden"]["changed"])


def plain_secret(value: str | None, ctx: Context, path: tuple[str | int, ...]) -> Iterable[Diagnostic]:
    """A secret that stands in the project for everybody to read."""
    if value is not None and value != HIDDEN and not sealed_names(ctx.secrets.masked(value)):
        yield Diagnostic(
            "monitor.secret-in-the-clear",
            f"`{path[-1]}` is not a secret",
            "whoever can read the project can read it",
            f"take it from the environment, as in `{path[-1]}: ${{env.NAME}}`, or from a sensitive variable",
            path=path,
        )


def _golden(block: Golden, deployment: str, desired: Desired, ctx: Context) -> dict[str, Json]:
    outputs = desired.input("deployments", deployment).outputs
    url, model = outputs.get("url"), outputs.get("model")
    if not isinstance(url, str) or not isinstance(model, str):
        raise MlctlError.of(
            "monitor.no-address",
            f"deployments.{deployment} has no address to ask golden prompts at",
            "its state holds none",
            "remove `responses.golden`, or deploy it where it can be asked",
        )
    part = "responses.golden"
    source = rows_of(block.dataset, {"prompt": block.prompt, "answer": block.answer}, part, desired)
    rows = desired.input("datasets", block.dataset).digest
    sought = [rows, block.prompt, block.answer, block.system, block.most, block.max_tokens, block.compare]
    return {
        "source": source.model_dump(mode="json"), "prompt": block.prompt, "answer": block.answer, "system": block.system, "url": url,
        "model": model, "token": block.token, "every_seconds": block.every, "most": block.most, "max_tokens": block.max_tokens,
        "timeout_seconds": block.timeout, "compare": block.compare, "margin": block.margin, "kept": asked_folder(desired, ctx),
        "identity": digest(sought),
    }  # fmt: skip

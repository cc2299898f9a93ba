"""A6: hardware is chosen by feel."""

from __future__ import annotations

from collections.abc import Iterator

from mlctl.audit.case import Case, Subject
from mlctl.audit.finding import Finding, Pattern
from mlctl.types.diagnostic import Severity

PATTERN = Pattern("A6", "hardware by feel", "the wrong machine costs more than the people do")
_FAR = 0.2  # of what was measured
_IDLE = 0.4
_ASKS = {
    "slurm": "executor.gpus_per_node",
    "ray": "executor.gpus_per_worker",
    "skypilot": "executor.gpu",
    "kubernetes": "executor.gpus",
}


def check(case: Case) -> Iterator[Finding]:
    """What a training takes was foreseen, measured, and used."""
    for training in case.all("training"):
        asked = _ASKS.get(str(training.get("executor.type")))
        if asked is not None and training.get(asked):
            yield from _measured(training, asked)
            yield from _used(training, asked)


def _measured(training: Subject, asked: str) -> Iterator[Finding]:
    what = f"{training.address} {asked}: {training.get(asked)}"
    if training.record is None:
        return
    ratios = training.output("estimate.ratio")
    if not ratios:
        yield Finding(
            PATTERN,
            Severity.ERROR,
            f"{training.address} asks for GPUs, and nothing says what it needs of them",
            (what, f"{training.evidence}: estimate: none"),
            f"mlctl plan shows the estimate; mlctl apply --replace {training.address} measures it",
            training.address,
            tuple(asked.split(".")),
        )
        return
    far = {name: ratio for name, ratio in ratios.items() if abs(ratio - 1) > _FAR}
    if far:
        yield Finding(
            PATTERN,
            Severity.WARNING,
            f"the estimate of {training.address} is off by more than {_FAR:.0%}",
            tuple(f"measured over predicted {name}: {ratio:.2f}" for name, ratio in far.items()),
            "the next plans are calibrated by this run: look at `mlctl plan` again before the next one",
            training.address,
        )


def _used(training: Subject, asked: str) -> Iterator[Finding]:
    memory, capacity = (
        training.output("estimate.actual.memory"),
        training.record and training.record.provenance.get("estimate"),
    )
    whole = capacity.get("capacity") if isinstance(capacity, dict) else None
    if isinstance(memory, int | float) and isinstance(whole, int | float) and 0 < memory < _IDLE * whole:
        yield Finding(
            PATTERN,
            Severity.WARNING,
            f"{training.address} fills {memory / whole:.0%} of the memory it asks for",
            (f"{training.evidence}: estimate.actual.memory {memory / 2**30:.1f} GiB of {whole / 2**30:.1f}",),
            "take a smaller device, or a larger `micro_batch_size`",
            training.address,
            tuple(asked.split(".")),
        )

"""What a training and its dataset contradict each other in, found before anything runs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from mlctl.providers.torch.problem import problem
from mlctl.providers.torch.spec import Data, Python, TrainingSpec
from mlctl.types.address import Address
from mlctl.types.diagnostic import Diagnostic


def untimed_problems(
    specs: Mapping[Address, Any], uses: Mapping[Address, Collection[Address]]
) -> Iterator[tuple[Address, Diagnostic]]:
    """Trainings that go by the time of their rows, over a dataset that does not say which column that is."""
    for address, spec in specs.items():
        if not isinstance(spec, TrainingSpec):
            continue
        table = isinstance(spec.data, Data)
        named = spec.data.labels if isinstance(spec.data, Data) else spec.data.dataset
        own_split = not table and isinstance(spec.model, Python)  # the project's function splits what it reads
        dataset = next((specs[used] for used in uses[address] if used == _dataset(named)), None)
        if dataset is None or getattr(dataset, "timestamp", "") is not None or own_split:
            continue
        fix = f"set `timestamp:` on datasets.{named}"
        if isinstance(spec.data, Data) and (spec.data.features or spec.data.service is not None):
            why = "features are looked up as they were known at the time of each row"
            field = ("data", "service") if spec.data.service is not None else ("data", "features")
            yield address, problem("no-timestamp", f"`{named}` has no `timestamp`", why, fix, *field)
        elif spec.data.split.by == "time":
            why = f"a split by time holds back the latest rows, and `{named}` has no `timestamp`"
            summary = "rows without a time cannot be split by it"
            yield address, problem("no-timestamp", summary, why, f"{fix}, or `split: {{by: random}}`", "data", "split")


def _dataset(name: str) -> Address | None:
    """Names of instances are written as addresses are; anything else is no dataset of the project."""
    try:
        return Address.parse(f"datasets.{name}")
    except ValueError:
        return None

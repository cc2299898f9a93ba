"""The parts of monitors, in the order in which they are told."""

from __future__ import annotations

from mlctl.providers.evidently.part import Part
from mlctl.providers.evidently.parts.data import DataDriftPart

PARTS: tuple[Part, ...] = (DataDriftPart(),)

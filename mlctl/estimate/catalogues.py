"""From price catalogues that others publish to rows of a price list: the CSV files of SkyPilot's catalogue and of gpuhunt."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from math import isfinite
from statistics import median

from mlctl.estimate.devices import NAMED
from mlctl.estimate.prices import DEAREST, PriceRow, Tier, gpu_name

_DIGITS = 5  # after the point, of dollars
# What catalogues call devices, where it is another name than ours for the same thing.
_NAMES = {
    "A100-80GB-SXM": "A100-80GB", "A100-80GB-PCIE": "A100-PCIE-80GB", "A100-SXM": "A100", "H100-SXM": "H100", "H100-MEGA": "H100",
    "H100-NVLINK": "H100", "H100NVL": "H100-NVL", "H100PCIE": "H100-PCIE", "H200-SXM": "H200", "H200NVL": "H200-NVL", "RTXA5000": "A5000",
    "RTXA6000": "A6000",
    "RTXPRO6000": "RTX-PRO-6000", "RTXPRO6000S": "RTX-PRO-6000", "RTXPRO6000WS": "RTX-PRO-6000",
}  # fmt: skip
_SKYPILOT = ("InstanceType", "AcceleratorName", "AcceleratorCount", "Price", "Region", "SpotPrice")
_GPUHUNT = ("instance_name", "location", "price", "gpu_count", "gpu_name", "gpu_memory", "spot")


class NotACatalogue(ValueError):
    """What is wrong with a catalogue, line by line."""

    def __init__(self, problems: list[tuple[int, str]]) -> None:
        super().__init__("; ".join(f"line {line}: {what}" for line, what in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What a catalogue gave, and what was not taken over: devices that nobody here knows, and lines without a use."""

    rows: tuple[PriceRow, ...]
    lines: int
    unknown: Mapping[str, int] = field(default_factory=dict)  # by the catalogue's name of the device
    left_out: Mapping[str, int] = field(default_factory=dict)  # by the reason


@dataclass(frozen=True, slots=True)
class _Offer:
    """One machine with so many devices, at one price a device."""

    gpu: str
    tier: Tier
    region: str
    count: int
    machine: str
    usd: float
    provider: str = ""


class _Reading:
    """A catalogue as it is read: offers, and what else was found."""

    def __init__(self) -> None:
        self.offers: list[_Offer] = []
        self.unknown: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()
        self.problems: list[tuple[int, str]] = []
        self.lines = 0


def from_skypilot(text: str, *, provider: str, as_of: date, source: str) -> Catalogue:
    """The rows of one provider's `vms.csv`. A machine with N devices is a price of N devices. Raises NotACatalogue."""
    return _catalogue(text, _SKYPILOT, _skypilot, provider, as_of, source)


def from_gpuhunt(text: str, *, provider: str, as_of: date, source: str) -> Catalogue:
    """The rows of a provider's CSV file of gpuhunt; where it has a column `provider`, that counts. Raises NotACatalogue."""
    return _catalogue(text, _GPUHUNT, _gpuhunt, provider, as_of, source)


def _catalogue(
    text: str,
    columns: tuple[str, ...],
    read: Callable[[Mapping[str, str], _Reading], None],
    provider: str,
    as_of: date,
    source: str,
) -> Catalogue:
    lines = csv.DictReader(text.splitlines(), strict=True)
    reading = _Reading()
    try:
        missing = [name for name in columns if name not in (lines.fieldnames or ())]
        if missing:
            raise NotACatalogue([(1, f"there is no column {' or '.join(f'`{name}`' for name in missing)}")])
        for line in lines:
            reading.lines += 1
            try:
                if None in line or None in line.values():
                    raise ValueError("it has more or fewer fields than the first line")
                read({name: (value or "").strip() for name, value in line.items()}, reading)
            except ValueError as error:
                reading.problems.append((lines.line_num, str(error)))
    except csv.Error as error:
        reading.problems.append((lines.line_num, f"it is no CSV: {error}"))
    if reading.problems:
        raise NotACatalogue(reading.problems)
    rows = tuple(_rows(reading.offers, provider, as_of, source))
    return Catalogue(rows, reading.lines, dict(reading.unknown), dict(reading.left_out))


def _skypilot(line: Mapping[str, str], reading: _Reading) -> None:
    """Raises ValueError for a line that is none."""
    name = line["AcceleratorName"]
    if not name:
        reading.left_out["without an accelerator"] += 1
        return
    if not line["InstanceType"]:
        reading.left_out["accelerators without the machine around them"] += 1
        return
    count = _count(line["AcceleratorCount"], "AcceleratorCount", reading)
    prices: dict[Tier, float | None] = {
        "on_demand": _price(line["Price"], "Price"),
        "spot": _price(line["SpotPrice"], "SpotPrice"),
    }
    if count:
        _offer(reading, name, None, prices, line["Region"], count, line["InstanceType"])


def _gpuhunt(line: Mapping[str, str], reading: _Reading) -> None:
    """Raises ValueError for a line that is none."""
    price = _price(line["price"], "price")
    if line["spot"].lower() not in ("true", "false"):
        raise ValueError(f"`spot` is `{line['spot'][:20]}`, which is neither True nor False")
    if not line["gpu_name"] or line["gpu_count"] in ("", "0"):
        reading.left_out["without an accelerator"] += 1
        return
    count = _count(line["gpu_count"], "gpu_count", reading)
    memory = _number(line["gpu_memory"], "gpu_memory") if line["gpu_memory"] else None
    tier: Tier = "spot" if line["spot"].lower() == "true" else "on_demand"
    if count:
        name, where = line["gpu_name"], line["location"]
        _offer(reading, name, memory, {tier: price}, where, count, line["instance_name"], line.get("provider", ""))


def _offer(
    reading: _Reading,
    name: str,
    memory: float | None,
    prices: Mapping[Tier, float | None],
    region: str,
    count: int,
    machine: str,
    provider: str = "",
) -> None:
    gpu = device_of(name, memory)
    if gpu is None:
        reading.unknown[name] += 1
        return
    each = {tier: round(price / count, _DIGITS) for tier, price in prices.items() if price}
    if not any(each.values()):
        reading.left_out["without a price"] += 1
    for tier, usd in each.items():
        if usd > DEAREST:
            raise ValueError(f"one {gpu} costs ${usd:g} an hour there")
        if usd:
            reading.offers.append(_Offer(gpu, tier, region, count, machine, usd, provider))


def device_of(name: str, gigabytes: float | None = None) -> str | None:
    """What a catalogue's device is called here; None for one that is not known. Some are told apart by their memory alone."""
    upper = name.upper().replace(" ", "-")
    ours = _NAMES.get(upper) or gpu_name(upper)
    if ours not in NAMED or gigabytes is None:
        return ours if ours in NAMED else None
    sized = f"{ours}-{gigabytes:.0f}GB"
    return sized if sized in NAMED else ours


def _count(text: str, column: str, reading: _Reading) -> int:
    """How many devices a machine has; 0 for one with a part of one, which is no price of a device."""
    number = _number(text, column)
    if number < 1 or number != int(number):
        reading.left_out["with a part of a device"] += 1
        return 0
    return int(number)


def _price(text: str, column: str) -> float | None:
    """Dollars; None where nothing stands. Raises ValueError."""
    if not text:
        return None
    return _number(text, column) or None


def _number(text: str, column: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"`{column}` is `{text[:20]}`, which is no number") from None
    if not isfinite(number) or number < 0:
        raise ValueError(f"`{column}` is {text[:20]}")
    return number


def _rows(offers: Iterable[_Offer], provider: str, as_of: date, source: str) -> Iterator[PriceRow]:
    """One row for each device, tier, region and number: of the machines that have so many, the cheapest, since the others
    differ in their host; between its zones the median. What costs the same everywhere has no region."""
    found: dict[tuple[str, str, Tier, int], dict[str, dict[str, list[float]]]] = {}
    for offer in offers:
        regions = found.setdefault((offer.provider or provider, offer.gpu, offer.tier, offer.count), {})
        regions.setdefault(offer.region, {}).setdefault(offer.machine, []).append(offer.usd)
    known: set[tuple[str, str, str, str, float]] = set()
    for (owner, gpu, tier, count), regions in sorted(found.items()):
        cheapest = {name: min(map(_middle, machines.values())) for name, machines in sorted(regions.items())}
        alike = len(cheapest) > 1 and len(set(cheapest.values())) == 1
        for region, (usd, low, high) in [("", next(iter(cheapest.values())))] if alike else cheapest.items():
            place = (owner, gpu, tier, region, usd)
            if place in known:  # fewer can be had for the same price each
                continue
            known.add(place)
            least, most = (low, high) if low < high else (None, None)
            yield PriceRow(gpu, owner, tier, usd, as_of, source, least, most, region, count)


def _middle(zones: list[float]) -> tuple[float, float, float]:
    return round(median(zones), _DIGITS), min(zones), max(zones)

"""What could be rented, or is owned: devices of the price lists, in numbers that are sold, each at the price of one provider and tier."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from mlctl.estimate import money
from mlctl.estimate.devices import NAMED, Device, sheet_name
from mlctl.estimate.prices import Price, PriceRow, Tier, fewest, price_of
from mlctl.types.estimate import Range

COUNTS = (1, 2, 4, 8)
# A reservation binds for years, which one piece of work does not ask for: such prices count where they are asked for by name.
TIERS: tuple[Tier, ...] = ("on_demand", "spot", "owned")


@dataclass(frozen=True, slots=True)
class Option:
    """So many devices of one kind (`device.count` of them at work) at a price."""

    device: Device
    tier: Tier
    provider: str
    price: Price  # of one device for an hour
    hosts: int = 1  # machines, of those without an accelerator

    @property
    def used(self) -> int:
        """Devices that are at work: a machine without an accelerator is one."""
        return self.hosts if self.device.host else self.device.count

    @property
    def paid(self) -> int:
        """Devices that are paid for: of what is sold by the machine, whole machines."""
        return money.paid(self.used, self.price)

    @property
    def hourly(self) -> Range:
        """Dollars an hour for all that is paid for."""
        return money.hourly(self.used, self.price)

    @property
    def nodes(self) -> int:
        """Machines that these devices are in at least."""
        return self.device.machines

    @property
    def place(self) -> tuple[str, int, Tier]:
        """By which two are the same, whoever sells them, and whatever a driver calls their devices."""
        return sheet_name(self.device), self.device.count, self.tier

    @property
    def name(self) -> str:
        """As people know it: `4 x A100-80GB`."""
        return self.device.name if self.device.count == 1 else f"{self.device.count} x {self.device.name}"


def options(
    rows: Iterable[PriceRow],
    *,
    counts: Sequence[int] = COUNTS,
    tiers: Collection[Tier] = TIERS,
    gpus: Collection[str] = (),
) -> Iterator[Option]:
    """Every number of every device at every provider that has a price, or of the devices named alone. A row of a device that
    mlctl knows no size of is no option."""
    sold: dict[tuple[str, Tier, str], list[PriceRow]] = {}
    for row in rows:
        if row.gpu in NAMED and row.tier in tiers and (not gpus or row.gpu in gpus):
            sold.setdefault((row.gpu, row.tier, row.provider), []).append(row)
    for (gpu, tier, provider), same in sold.items():
        for count in counts:
            price = price_of(fewest(same, count))
            if price is not None:
                yield Option(replace(NAMED[gpu], count=count), tier, provider, price)

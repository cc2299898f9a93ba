"""A small shop in CSV files, in the shape of specs/quickstart: purchases, households, and labels made from them.

A household is in an active or in a dormant phase, so what it bought lately says whether it will buy within a week.
Everything is drawn with one seed: the same files each time.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

START = datetime(2024, 1, 1)
DAYS = 130
HOUSEHOLDS = range(1, 161)
HISTORY_DAYS = 30
HORIZON_DAYS = 7
TRAINING_DAYS = range(HISTORY_DAYS, 100, 3)
LATER_DAYS = range(100, 109, 3)  # labels that come in after the first training
HOLDOUT_DAYS = range(113, DAYS - HORIZON_DAYS, 3)
FEATURES = (
    "purchase_amount_7d",
    "purchase_amount_30d",
    "baskets_7d",
    "baskets_30d",
    "items_7d",
    "largest_purchase_30d",
)

Row = Sequence[object]


def write_shop(folder: Path) -> None:
    """All four tables."""
    folder.mkdir(parents=True)
    purchases = _purchases()
    bought = {(row[1], (row[5] - START).days) for row in purchases}
    write(folder / "purchases.csv", PURCHASE_COLUMNS, purchases)
    write(folder / "households.csv", ("household_id", "size"), [(key, key % 5 + 1) for key in HOUSEHOLDS])
    write(folder / "labels.csv", LABEL_COLUMNS, _labels(bought, TRAINING_DAYS))
    write(folder / "labels_holdout.csv", LABEL_COLUMNS, _labels(bought, HOLDOUT_DAYS))


def write_later_labels(folder: Path) -> None:
    """The labels as they are some weeks on: more rows at the end of the same file."""
    bought = {(row[1], (row[5] - START).days) for row in _purchases()}
    write(folder / "labels.csv", LABEL_COLUMNS, _labels(bought, [*TRAINING_DAYS, *LATER_DAYS]))


def set_value(path: Path, line: int, column: str, value: str) -> None:
    """Change one value of one row, and nothing else of the file."""
    with open(path, newline="") as stream:
        rows = list(csv.reader(stream))
    rows[line][rows[0].index(column)] = value
    write(path, rows[0], rows[1:])


def write(path: Path, header: Row, rows: Sequence[Row]) -> None:
    """A CSV file."""
    with open(path, "w", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])


PURCHASE_COLUMNS = ("purchase_id", "household_id", "basket_id", "quantity", "sales_value", "purchased_at")
LABEL_COLUMNS = ("household_id", "event_timestamp", "shops")


def _purchases() -> list[tuple[int, int, int, float, float, datetime]]:
    draw = random.Random(20240101)
    rows: list[tuple[int, int, int, float, float, datetime]] = []
    basket = 0
    for household in HOUSEHOLDS:
        active = draw.random() < 0.5
        for day in range(DAYS):
            active = active if draw.random() > 0.02 else not active
            if day and draw.random() > (0.35 if active else 0.03):
                continue  # everybody buys on the first day, so that everybody is known from then on
            basket += 1
            for _ in range(draw.randint(1, 3)):
                moment = START + timedelta(days=day, seconds=draw.randrange(86400))
                rows.append((0, household, basket, float(draw.randint(1, 4)), round(draw.uniform(0.5, 40), 2), moment))
    rows.sort(key=lambda row: (row[5], row[1]))
    return [(number, *row[1:]) for number, row in enumerate(rows, 1)]


def _labels(bought: set[tuple[int, int]], days: Sequence[int]) -> list[tuple[int, datetime, int]]:
    return [
        (household, START + timedelta(days=day), int(any((household, day + ahead) in bought for ahead in range(HORIZON_DAYS))))
        for day in days
        for household in HOUSEHOLDS
    ]  # fmt: skip

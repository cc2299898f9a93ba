"""One list of rules over one nasty table, with verdicts that were counted by hand. Every engine has to come to the same.

The table has nulls, NaN, infinite values, decimals, single floats, dates, times with and without zone, texts that are empty,
not ASCII or of two lines, a column of nulls, and a name that has to be quoted. It stands in the order of its key, `id`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

ROWS = 40
DATASET = "orders"

# id 1 to 40, and one oddity a column: see the expected verdicts below for what is where.
ORDERS = """
    SELECT i AS id,
        CASE i WHEN 3 THEN NULL WHEN 5 THEN 'nan'::DOUBLE WHEN 6 THEN 'inf'::DOUBLE WHEN 8 THEN -1 WHEN 40 THEN 1000 ELSE i END::DOUBLE AS price,
        CASE WHEN i <> 4 THEN i + 0.10 END::DECIMAL(18, 2) AS amount,
        CASE i WHEN 9 THEN 0.2 WHEN 10 THEN 'nan'::FLOAT ELSE 0.1 END::FLOAT AS small,
        CASE i WHEN 11 THEN '' WHEN 12 THEN NULL WHEN 13 THEN 'two' || chr(10) || 'lines'
            ELSE ['Zoë', '名前', '👍', 'plain'][i % 4 + 1] END AS name,
        CASE i WHEN 14 THEN 'a-014' WHEN 15 THEN 'A-15' WHEN 16 THEN NULL WHEN 17 THEN 'A-001' ELSE 'A-' || lpad(i::VARCHAR, 3, '0') END AS code,
        CASE WHEN i <> 18 THEN i % 2 = 0 END AS flag,
        CASE WHEN i <> 19 THEN DATE '2024-01-01' + (i - 1)::INTEGER END AS day,
        CASE WHEN i <> 20 THEN TIMESTAMP '2024-01-01' + to_hours(i) END AS at,
        TIMESTAMPTZ '2024-01-01 00:00:00+00' + to_hours(i) AS zoned,
        CASE WHEN i IN (21, 22) THEN 7 WHEN i <> 23 THEN i % 5 END AS user_id,
        (i % 3)::INTEGER AS grp,
        CASE i WHEN 40 THEN 1000000 ELSE i END::DOUBLE AS skew,
        NULL::DOUBLE AS nothing,
        i * i AS "Straße ""1"" b"
    FROM range(1, 41) AS r(i) ORDER BY i
"""
USERS = "SELECT u AS user_id, 'u' || u AS name FROM range(0, 5) AS r(u)"

_ORPHANS = """
    SELECT o.id FROM orders o LEFT JOIN users u ON o.user_id = u.user_id WHERE u.user_id IS NULL AND o.user_id IS NOT NULL
"""

# What `orders` looked like once: a column has gone since, one has become wider, and `grp` was distributed in the same way.
CONTRACT: dict[str, Any] = {
    "format": 1,
    "dataset": DATASET,
    "digest": "of another time",
    "recorded_at": "2024-01-01T00:00:00Z",
    "rows": 50,
    "columns": [
        {"name": "id", "type": "integer"},
        {"name": "price", "type": "double", "bins": {"kind": "numeric", "edges": [10.0, 20.0, 30.0], "counts": [40, 2, 2, 4], "nulls": 2}},
        {"name": "amount", "type": "decimal(18,2)"},
        {"name": "small", "type": "float"},
        {"name": "name", "type": "varchar", "bins": {"kind": "categorical", "values": ["plain", "Zoë", "名前", "👍"], "counts": [8, 9, 10, 10], "other": 2, "nulls": 1}},
        {"name": "code", "type": "varchar"},
        {"name": "flag", "type": "boolean"},
        {"name": "day", "type": "date"},
        {"name": "at", "type": "timestamp"},
        {"name": "zoned", "type": "timestamp with time zone"},
        {"name": "user_id", "type": "bigint"},
        {"name": "grp", "type": "integer", "bins": {"kind": "numeric", "edges": [0.0, 1.0, 2.0, 3.0], "counts": [0, 13, 14, 13, 0], "nulls": 0}},
        {"name": "skew", "type": "double"},
        {"name": "nothing", "type": "double"},
        {"name": "gone", "type": "varchar"},
    ],
}  # fmt: skip


@dataclass(frozen=True)
class Expected:
    """A rule and what comes of it: passed, checked and failing rows (None where it is not about rows), ids of the sample."""

    rule: dict[str, dict[str, Any]]
    passed: bool
    checked: int | None = None
    failing: int | None = None
    sample: list[int] = field(default_factory=list)


def _of(
    name: str, passed: bool, checked: int | None, failing: int | None, sample: list[int] | None = None, **arguments: Any
) -> Expected:
    return Expected({name: arguments}, passed, checked, failing, sample or [])


BOOK: list[Expected] = [
    _of("not_null", True, 40, 0, columns=["id"]),
    _of("not_null", False, 40, 2, [3, 5], columns=["price"]),
    _of("not_null", True, 40, 2, columns=["price"], max_ratio=0.05),
    _of("not_null", False, 40, 2, [12, 16], columns=["name", "code"]),
    _of("not_null", False, 40, 40, [1, 2, 3, 4, 5], columns=["nothing"]),
    _of("not_null", True, 40, 0, columns=['Straße "1" b']),
    # nulls and NaN are not looked at; an infinite value lies outside of any range
    _of("range", False, 38, 3, [6, 8, 40], column="price", min=0, max=40),
    _of("range", True, 38, 3, column="price", min=0, max=40, max_ratio="10%"),
    # 39.10 as a decimal and 0.1 as a single float are not above their own bound
    _of("range", False, 39, 1, [40], column="amount", max=39.1),
    _of("range", False, 39, 1, [9], column="small", max=0.1),
    _of("range", False, 39, 2, [1, 2], column="day", min="2024-01-03"),
    _of("range", False, 39, 1, [1], column="at", min="2024-01-01T02:00:00"),
    _of("range", False, 40, 1, [40], column="zoned", max="2024-01-02T16:00:00+01:00"),
    _of("range", False, 0, 0, column="nothing", min=0),
    _of("set", False, 39, 2, [11, 13], column="name", values=["Zoë", "名前", "👍", "plain"]),
    _of("set", True, 40, 0, column="grp", values=[0, 1, 2]),
    _of("set", True, 39, 38, column="amount", values=[1.1], max_ratio=0.98),
    _of("set", True, 39, 1, column="small", values=[0.1], max_ratio=0.05),
    _of("set", False, 39, 20, [1, 3, 5, 7, 9], column="flag", values=[True]),
    _of("set", True, 39, 38, column="day", values=["2024-01-01"], max_ratio=0.98),
    _of("regex", False, 39, 2, [14, 15], column="code", pattern=r"[A-Z]-\d{3}"),
    _of("regex", False, 39, 2, [11, 13], column="name", pattern=".+"),  # a dot is no line end
    _of("length", False, 39, 2, [11, 13], column="name", min=1, max=5),  # characters, not bytes
    _of("unique", True, 40, 0, columns=["id"]),
    _of("unique", False, 39, 2, [1, 17], columns=["code"]),
    _of("unique", False, 39, 37, [1, 2, 3, 4, 5], columns=["grp", "user_id"]),
    _of("schema", True, None, None, columns={"id": "bigint", "amount": "decimal(18,2)", "day": "date"}),
    _of("schema", False, None, None, columns={"id": "integer"}),
    _of("foreign_key", False, 39, 2, [21, 22], column="user_id", references="users.user_id"),
    _of("foreign_key", True, 40, 0, column="grp", references="users.user_id"),
    # an infinite value is an outlier, and takes no part in mean, deviation and quartiles
    _of("outliers", False, 40, 1, [40], columns=["skew"]),
    _of("outliers", False, 38, 2, [6, 40], columns=["price"], method="iqr"),
    _of("outliers", False, 40, 2, [6, 40], columns=["skew", "price"]),
    _of("outliers", True, 40, 0, columns=["grp"]),
    _of("outliers", True, 40, 1, columns=["skew"], max_ratio=0.025),
    _of("outliers", False, 0, 0, columns=["nothing"], method="iqr"),
    _of("row_count", True, None, None, min=40, max=40),
    _of("row_count", False, None, None, min=41),
    _of("row_count", True, None, None, max_change=0.2),  # 40 of 50
    _of("row_count", False, None, None, max_change=0.1),
    _of("schema_drift", False, None, None),
    _of("schema_drift", True, None, None, allow=["added", "removed", "widened"]),
    _of("distribution", True, None, None, column="grp"),
    _of("distribution", True, None, None, column="grp", method="ks", alpha=0.01),
    _of("distribution", True, None, None, column="grp", method="chi_square"),
    _of("distribution", True, None, None, column="name", method="histogram"),
    _of("distribution", False, None, None, column="price"),
    _of("distribution", False, None, None, column="price", method="ks"),
    _of("distribution", False, None, None, column="price", method="chi_square"),
    _of("distribution", False, None, None, column="price", method="histogram"),
    _of("freshness", False, None, None, max_age="1d", column="at"),
    _of("freshness", True, None, None, max_age="5000w", column="day"),
    _of("sql", False, None, 1, [8], query="SELECT id, price FROM orders WHERE price < 0"),
    _of("sql", True, None, 0, query="SELECT * FROM orders WHERE id > 100"),
    _of("sql", False, None, 2, [21, 22], query=_ORPHANS, datasets=["users"]),
    # what cannot hold whatever the values are
    _of("regex", False, None, None, column="price", pattern=".*"),
    _of("length", False, None, None, column="day", max=3),
    _of("set", False, None, None, column="price", values=["1"]),
    _of("range", False, None, None, column="priec", min=0),
    _of("outliers", False, None, None, columns=["name"]),
]  # fmt: skip

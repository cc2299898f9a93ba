"""Datasets that are not plain files: what their blocks may say, and what is refused before anybody is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from mlctl.provider import ChecksTogether, Context
from mlctl.providers.local import bring, s3_objects
from mlctl.providers.local.data_files import fits, partitions
from mlctl.providers.local.dataset import Dataset
from mlctl.providers.local.spec_dataset import DatasetSpec
from mlctl.testing.harness import make_context, make_desired
from mlctl.types.address import Address
from mlctl.types.diagnostic import MlctlError
from mlctl.types.secret import Secrets

URL = "postgresql://me:hunter22hunter22@db.example:5432/shop"
POSTGRES = {"type": "postgres", "url": URL, "table": "orders"}


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return make_context(tmp_path)


def codes(ctx: Context, **values: object) -> list[tuple[str, tuple[str | int, ...]]]:
    found = Dataset().check(DatasetSpec.model_validate(values), ctx)
    return [(item.code, item.path) for item in found]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "either `path` or `database`"),
        ({"path": "x", "database": POSTGRES}, "either `path` or `database`"),
        ({"path": "x", "copy": False}, "`copy: false` is for"),
        ({"database": {"type": "sqlite", "path": "x", "table": "t"}, "copy": False}, "`copy: false` is for"),
        ({"path": "x", "s3": {"region": "eu"}}, "`s3` has no effect"),
        ({"database": POSTGRES, "format": "csv"}, "`format` has no effect"),
        ({"database": {**POSTGRES, "query": "SELECT 1"}}, "either `table` or `query`"),
        ({"database": {"type": "postgres", "url": URL}}, "either `table` or `query`"),
        ({"database": {"type": "oracle", "table": "t"}}, "oracle"),
        ({"database": {"type": "sqlite", "path": "x", "table": "t", "version": "snapshot"}}, "Extra inputs"),
        ({"database": {**POSTGRES, "table": 'a"b'}}, "does not name a table"),
        ({"database": {**POSTGRES, "version": "newest"}}, "snapshot"),
    ],
)
def test_what_has_no_effect_or_says_two_things_is_refused(values: Mapping[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        DatasetSpec.model_validate(values)


def test_a_spec_is_written_as_it_is_read() -> None:
    written = {
        "database": {
            "type": "snowflake",
            "account": "a",
            "user": "u",
            "schema": "S",
            "table": "T",
            "version": {"watermark": "AT"},
        },
        "copy": False,
    }
    assert DatasetSpec.model_validate(written).model_dump(mode="json", exclude_defaults=True) == written


@pytest.mark.parametrize(
    "url",
    [
        URL,
        "postgresql://db/shop?user=me&password=hunter22hunter22",
        "host=db user=me password=hunter22hunter22",
        "postgresql://me:hunter%32%32hunter22@db/shop",
    ],
)
def test_a_password_that_is_no_secret_is_refused(ctx: Context, url: str) -> None:
    assert codes(ctx, database={**POSTGRES, "url": url}) == [("data.plain-password", ("database", "url"))]
    known = replace(ctx, secrets=Secrets({"var.url": url}, b"k"))
    assert codes(known, database={**POSTGRES, "url": url}) == []


def test_a_password_alone_may_be_the_secret(ctx: Context) -> None:
    known = replace(ctx, secrets=Secrets({"env.DB_PASSWORD": "hunter22hunter22"}, b"k"))
    assert codes(known, database=POSTGRES) == []
    assert codes(ctx, database={**POSTGRES, "url": "postgresql://me@db/shop"}) == []
    snowflake = {"type": "snowflake", "account": "a", "user": "u", "table": "T", "password": "hunter22hunter22"}
    assert codes(ctx, database=snowflake) == [("data.plain-password", ("database", "password"))]
    assert codes(known, database=snowflake) == []


def test_a_database_file_has_to_be_there(ctx: Context) -> None:
    values = {"database": {"type": "sqlite", "path": "shop.db", "table": "t"}}
    assert codes(ctx, **values) == [("data.missing-file", ("database", "path"))]
    (ctx.root / "shop.db").write_bytes(b"x")
    assert codes(ctx, **values) == []
    outside = {"database": {"type": "sqlite", "path": "../shop.db", "table": "t"}}
    assert codes(ctx, **outside) == [("spec.path-outside", ("database", "path"))]


def test_a_write_ahead_log_is_part_of_a_database_file(ctx: Context) -> None:
    (ctx.root / "shop.db").write_bytes(b"x")
    values = {"database": {"type": "sqlite", "path": "shop.db", "table": "t"}}
    first = make_desired(Dataset(), "datasets.d", values, ctx)
    (ctx.root / "shop.db-wal").touch()
    assert make_desired(Dataset(), "datasets.d", values, ctx).identity == first.identity  # an empty one holds nothing
    (ctx.root / "shop.db-wal").write_bytes(b"y")
    second = make_desired(Dataset(), "datasets.d", values, ctx)
    assert second.parts.keys() - first.parts.keys() == {"file:shop.db-wal"}


def test_folders_that_only_some_files_have_are_refused(ctx: Context) -> None:
    assert partitions(["d/year=1/m=2/x", "d/year=2/m=x/x"]) == {"year": "bigint", "m": "varchar"}
    assert partitions(["d/x", "d/y"]) == {}
    for files in (["d/year=1/x", "d/y"], ["d/year=1/x", "d/month=1/y"], ["d/a=1/b=1/x", "d/b=1/a=1/x"]):
        with pytest.raises(MlctlError, match="not all files have the same partitions"):
            partitions(files)
    for name in ("data/year=1/x.csv", "data/y.csv"):
        (ctx.root / name).parent.mkdir(parents=True, exist_ok=True)
        (ctx.root / name).write_text("a\n1\n")
    assert codes(ctx, path="data") == [("data.mixed-partitions", ("path",))]


@pytest.mark.parametrize(
    ("name", "pattern", "expected"),
    [
        ("a/b.csv", "a/*.csv", True), ("a/b/c.csv", "a/*.csv", False), ("a/b/c.csv", "a/**/*.csv", True), ("a/c.csv", "a/**/*.csv", True),
        ("a/b.csv", "*/[ab].csv", True), ("a/c.csv", "*/[!ab].csv", True), ("a/b", "a/**", True), ("A/b.csv", "a/*.csv", False),
        ("year=2024/x.csv", "year=*/x.csv", True),
    ],
)  # fmt: skip
def test_patterns(name: str, pattern: str, expected: bool) -> None:
    assert fits(name.split("/"), pattern.split("/")) is expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("s3://b/k.csv", ("b", "k.csv")),
        ("s3://b/p/", ("b", "p/")),
        ("s3://b", ("b", "")),
        ("s3:///k", None),
        ("s3://b*/k", None),
    ],
)
def test_paths_of_buckets(ctx: Context, path: str, expected: tuple[str, str] | None) -> None:
    if expected is None:
        assert codes(ctx, path=path) == [("data.bad-path", ("path",))]
    else:
        assert codes(ctx, path=path) == []  # and nobody was asked
        assert s3_objects.parse(path) == expected


def test_it_looks_at_blocks_together() -> None:
    assert isinstance(Dataset(), ChecksTogether)


def remote_codes(user: str, spec: object, database: Mapping[str, object], ctx: Context) -> list[tuple[str, str]]:
    data, other = Address("datasets", "d"), Address.parse(user)
    specs = {data: DatasetSpec.model_validate({"database": database, "copy": False}), other: spec}
    return [(str(address), item.code) for address, item in Dataset().check_together(specs, {other: {data}}, ctx)]


def test_rows_that_stay_are_used_only_by_what_works_there(ctx: Context) -> None:
    refused = "data.not-copied"
    pushdown, mapped, plain = (
        SimpleNamespace(engine=item) for item in ("pushdown", SimpleNamespace(type="pushdown"), None)
    )
    assert remote_codes("data_checks.c", pushdown, POSTGRES, ctx) == []
    assert remote_codes("data_checks.c", mapped, POSTGRES, ctx) == []
    assert remote_codes("data_checks.c", plain, POSTGRES, ctx) == [("data_checks.c", refused)]
    assert remote_codes("training.t", SimpleNamespace(), POSTGRES, ctx) == [("training.t", refused)]
    bigquery = {"type": "bigquery", "project": "p", "table": "d.t"}
    ready, windows = SimpleNamespace(precomputed=True), SimpleNamespace(precomputed=False)
    inside = replace(ctx, settings={"feature_store": {"offline": {"type": "bigquery"}}})
    assert remote_codes("feature_views.v", ready, bigquery, inside) == []
    assert remote_codes("feature_views.v", windows, bigquery, inside) == [("feature_views.v", refused)]
    assert remote_codes("feature_views.v", ready, bigquery, ctx) == [("feature_views.v", refused)]
    assert remote_codes("feature_views.v", ready, POSTGRES, inside) == [("feature_views.v", refused)]


def test_downloads_that_nobody_has_any_more_are_removed(ctx: Context) -> None:
    store = ctx.home / "downloads"
    store.mkdir()
    for name in ("used", "unused"):
        (store / name).write_text(name)
    (ctx.root / "object").hardlink_to(store / "used")
    bring.sweep(ctx)
    assert [item.name for item in store.iterdir()] == ["used"]


def test_the_blocks_of_the_guide_are_datasets() -> None:
    guide = (Path(__file__).parents[4] / "docs/guides/data-sources.md").read_text()
    blocks = [yaml.safe_load(block.split("```")[0]) for block in guide.split("```yaml\n")[1:]]
    specs = [DatasetSpec.model_validate(spec) for block in blocks for spec in block["datasets"].values()]
    assert len(specs) == 5

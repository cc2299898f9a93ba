from dataclasses import replace
from pathlib import Path

import pytest

from mlctl.files.digests import FileDigests
from mlctl.provider import Condition, Context, Keyed, Kind, Logs
from mlctl.providers.local.data_files import data_files
from mlctl.providers.local.dataset import Dataset
from mlctl.providers.local.spec_dataset import DatasetSpec
from mlctl.testing.harness import make_context, make_desired
from mlctl.types.address import Address, ObjectKey
from mlctl.types.diagnostic import MlctlError
from mlctl.types.job import RESULT_FILE
from mlctl.types.state import Record


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    (tmp_path / "data").mkdir()
    return make_context(tmp_path)


def write(ctx: Context, name: str, text: str = "a\n1\n") -> None:
    path = ctx.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def codes(ctx: Context, **values: object) -> list[tuple[str, tuple[str | int, ...]]]:
    found = Dataset().check(DatasetSpec.model_validate(values), ctx)
    return [(item.code, item.path) for item in found]


def test_it_is_a_keyed_kind_with_a_log() -> None:
    assert isinstance(Dataset(), Kind)
    assert isinstance(Dataset(), Keyed)
    assert isinstance(Dataset(), Logs)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("data/a.parquet", "parquet"), ("data/a.pq", "parquet"), ("data/a.csv", "csv"), ("data/a.CSV", "csv"), ("data/a.tsv", "csv"),
        ("data/a.csv.gz", "csv"), ("data/a.jsonl", "jsonl"), ("data/a.ndjson.gz", "jsonl"),
    ],
)  # fmt: skip
def test_the_format_comes_from_the_name(ctx: Context, name: str, expected: str) -> None:
    write(ctx, name)
    assert data_files(name, None, ctx) == ([name], expected)


def test_a_stated_format_wins_over_the_name(ctx: Context) -> None:
    write(ctx, "data/a.txt")
    assert codes(ctx, path="data/a.txt") == [("data.unknown-format", ("path",))]
    assert data_files("data/a.txt", "csv", ctx) == (["data/a.txt"], "csv")


@pytest.mark.parametrize("path", ["data", "data/", "./data/../data", "data/**/*.csv", "data/**/[ab].csv"])
def test_a_folder_or_glob_is_all_its_files_by_name(ctx: Context, path: str) -> None:
    for name in ("data/b.csv", "data/deep/a.csv", "data/a.csv", "data/.hidden.csv", "data/_SUCCESS", "data/_tmp/c.csv"):
        write(ctx, name)
    assert data_files(path, None, ctx)[0] == ["data/a.csv", "data/b.csv", "data/deep/a.csv"]


def test_a_missing_file_names_the_near_one(ctx: Context) -> None:
    write(ctx, "data/purchases.parquet")
    [problem] = Dataset().check(DatasetSpec(path="data/purchase.parquet"), ctx)
    assert (problem.code, problem.path) == ("data.missing-file", ("path",))
    assert problem.fix == "did you mean `data/purchases.parquet`?"


@pytest.mark.parametrize("path", ["nope/deeper/x.csv", "data", "data/*.csv"])
def test_no_file_at_all(ctx: Context, path: str) -> None:
    assert codes(ctx, path=path) == [("data.missing-file", ("path",))]


def test_formats_are_not_mixed(ctx: Context) -> None:
    write(ctx, "data/a.csv")
    write(ctx, "data/b.parquet")
    assert codes(ctx, path="data") == [("data.mixed-formats", ("path",))]


def test_a_name_that_readers_take_for_a_pattern_is_refused(ctx: Context) -> None:
    write(ctx, "data/a[1].csv")
    assert codes(ctx, path="data/a[1].csv") == [("data.bad-name", ("path",))]


@pytest.mark.parametrize("path", ["../x.csv", "/etc/passwd", "data/../../x.csv", "../*.csv"])
def test_paths_stay_inside_the_project(ctx: Context, path: str) -> None:
    assert codes(ctx, path=path) == [("spec.path-outside", ("path",))]


def test_a_link_out_of_the_project_is_refused(ctx: Context, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "x.csv"
    outside.write_text("a\n")
    (ctx.root / "data" / "x.csv").symlink_to(outside)
    assert codes(ctx, path="data/x.csv") == [("spec.path-outside", ("path",))]
    assert codes(ctx, path="data") == [("spec.path-outside", ("path",))]


def test_a_project_reached_through_a_link_works(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    ctx = make_context(tmp_path / "link")
    write(ctx, "data/a.csv")
    assert data_files("data", None, ctx)[0] == data_files("data/a.csv", None, ctx)[0] == ["data/a.csv"]


def test_identity_is_content_and_not_time(ctx: Context) -> None:
    write(ctx, "data/a.csv", "a\n1\n")
    first = make_desired(Dataset(), "datasets.d", {"path": "data/a.csv"}, ctx)
    (ctx.root / "data/a.csv").touch()
    assert make_desired(Dataset(), "datasets.d", {"path": "data/a.csv"}, ctx).identity == first.identity
    write(ctx, "data/a.csv", "a\n2\n")
    second = make_desired(Dataset(), "datasets.d", {"path": "data/a.csv"}, ctx)
    assert second.identity != first.identity
    changed = [name for name in first.parts if first.parts[name] != second.parts[name]]
    assert changed == ["file:data/a.csv"]


def test_metadata_is_not_part_of_the_identity(ctx: Context) -> None:
    write(ctx, "data/a.csv")
    plain = make_desired(Dataset(), "datasets.d", {"path": "data/a.csv"}, ctx)
    told = make_desired(
        Dataset(), "datasets.d", {"path": "data/a.csv", "description": "purchases", "tags": {"pii": "no"}}, ctx
    )
    keyed = make_desired(Dataset(), "datasets.d", {"path": "data/a.csv", "key": ["a"]}, ctx)
    assert plain.identity == told.identity != keyed.identity


def test_contents_come_through_the_digest_cache(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(FileDigests, "files", lambda self, names, root: asked.append((names, root)) or ["x"])
    write(ctx, "data/a.csv")
    assert Dataset().parts(DatasetSpec(path="data"), ctx) == {"file:data/a.csv": "x"}
    assert asked == [(["data/a.csv"], ctx.root)]


def test_many_files_are_one_part(ctx: Context) -> None:
    for number in range(101):
        write(ctx, f"data/{number:03}.csv")
    parts = Dataset().parts(DatasetSpec(path="data"), ctx)
    assert list(parts) == ["files:data"]
    write(ctx, "data/050.csv", "a\n2\n")
    assert Dataset().parts(DatasetSpec(path="data"), ctx) != parts


def test_key_columns_are_named_once(ctx: Context) -> None:
    with pytest.raises(ValueError, match="named twice"):
        DatasetSpec(path="x", key=("a", "a"))


def record(files: list[str]) -> Record:
    return Record(
        ObjectKey(Address("datasets", "d"), "0123"),
        outputs={"files": files, "rows": 12345, "columns": {"a": "bigint"}, "profile": "x"},
    )


def test_read_looks_for_the_profile_and_the_files(ctx: Context) -> None:
    write(ctx, "data/a.csv")
    kind, prior = Dataset(), record(["data/a.csv", "data/b.csv"])
    assert kind.read(prior, ctx) is None
    write(ctx, f".mlctl/default/objects/datasets.d/0123/{RESULT_FILE}", "{}")
    seen = kind.read(prior, ctx)
    assert seen is not None
    assert (seen.condition, seen.detail) == (Condition.BROKEN, "the file `data/b.csv` is gone")
    write(ctx, "data/b.csv")
    again = kind.read(prior, ctx)
    assert again is not None
    assert again.condition is Condition.READY
    assert kind.describe(prior) == "12,345 rows, 1 column"


def test_what_an_earlier_version_made_without_a_profile_is_made_again(ctx: Context) -> None:
    write(ctx, "data/a.csv")
    write(ctx, f".mlctl/default/objects/datasets.d/0123/{RESULT_FILE}", "{}")
    now = record(["data/a.csv"])
    then = replace(now, outputs={name: item for name, item in now.outputs.items() if name != "profile"})
    seen = Dataset().read(then, ctx)
    assert seen is not None
    assert seen.condition is Condition.BROKEN
    assert "earlier version" in seen.detail


def test_delete_removes_the_profile_and_never_the_data(ctx: Context) -> None:
    write(ctx, "data/a.csv")
    write(ctx, f".mlctl/default/objects/datasets.d/0123/{RESULT_FILE}", "{}")
    kind, prior = Dataset(), record(["data/a.csv"])
    kind.delete(prior, ctx)
    assert not ctx.folder(prior.key).exists()
    assert (ctx.root / "data/a.csv").exists()
    kind.delete(prior, ctx)


def test_an_unreadable_file_is_told(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: FileDigests, names: list[str], root: Path) -> list[str]:
        raise PermissionError(13, "Permission denied", names[0])

    write(ctx, "data/a.csv")
    monkeypatch.setattr(FileDigests, "files", refuse)
    with pytest.raises(MlctlError) as caught:
        Dataset().parts(DatasetSpec(path="data/a.csv"), ctx)
    assert caught.value.diagnostics[0].code == "data.unreadable"

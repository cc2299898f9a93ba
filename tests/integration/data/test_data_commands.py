"""`mlctl data` on real files: versions with the runs that used them, comparisons by key, and pages that need nothing."""

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from mlctl.views.json.schema import events_schema
from tests import nursery
from tests.integration.data.helpers import write_sql

pytestmark = pytest.mark.tools

PROJECT = """\
project: shop
datasets:
  a: {path: data/a.parquet, key: [k, "città"]}
  b: {path: data/b.parquet, key: [k, "città"]}
"""
A = "SELECT i::INTEGER AS k, 'x<b>' || i % 2 AS \"città\", i * 2.0 AS v, CASE WHEN i % 5 > 0 THEN i END AS n FROM range(1000) r(i)"
# 100 keys are gone and 200 are new, 50 have another value, one stands twice; the key is wider, and a null in it is a key too
B = """
    SELECT i::BIGINT AS k, 'x<b>' || i % 2 AS "città", CASE WHEN i < 150 THEN -1.0 ELSE i * 2.0 END AS v,
        CASE WHEN i % 5 > 0 THEN i END AS n FROM range(100, 1199) r(i)
    UNION ALL SELECT NULL, 'x<b>0', 0, 0 UNION ALL SELECT 500, 'x<b>0', 1000.0, NULL
"""


def run(root: Path, *arguments: str, code: int = 0) -> str:
    environment = {"PATH": os.environ["PATH"], "HOME": str(root), "TZ": "UTC"}
    done = nursery.mlctl(*arguments, folder=root, environment=environment)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def lines(root: Path, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
    check = jsonschema.Draft202012Validator(events_schema(closed=True))
    found = [json.loads(line) for line in run(root, *arguments, "--json", code=code).splitlines()]
    for line in found:
        check.validate(line)
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "mlctl.yaml").write_text(PROJECT)
    write_sql(tmp_path / "data", {"a.parquet": A, "b.parquet": B})
    return tmp_path


class _Page(HTMLParser):
    """The tags of a page, and what it would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attributes if name in ("src", "href") and not (value or "").startswith("#")]  # fmt: skip


def test_two_datasets_are_compared_by_key(root: Path) -> None:
    run(root, "data", "profile")
    [found] = lines(root, "data", "diff", "a", "b", "--html", "d.html")
    assert found["keys"] == {
        "key": ["k", "città"],
        "added": 200,
        "removed": 100,
        "changed": 51,
        "same": 849,
        "duplicated": 1,
    }
    assert found["retyped"] == [{"name": "k", "a": "integer", "b": "bigint"}]
    assert (found["a"]["rows"], found["b"]["rows"], found["bins_of"]) == (1000, 1101, "a")
    by_name = {item["name"]: item for item in found["columns"]}
    assert by_name["k"]["psi"] > 0.25
    assert by_name["città"]["psi"] < 0.01
    for item in found["columns"]:
        for side, rows in (("a", 1000), ("b", 1101)):
            bins = item["bins"][side]
            assert sum(bins["counts"]) + bins.get("other", 0) + bins["nulls"] == rows
    page = (root / "d.html").read_text()
    assert _Page(page).loads == []
    assert "x<b>" not in page
    assert not (root / ".mlctl/default/diffs").exists() or not list((root / ".mlctl/default/diffs").iterdir())
    [same] = lines(root, "data", "diff", "a", "a")
    assert (same["keys"]["same"], [item["name"] for item in same["columns"] if item["changed"]]) == (1000, [])


def test_versions_name_the_runs_that_used_them_and_the_previous_can_be_compared(root: Path) -> None:
    run(root, "data", "profile", "a")
    write_sql(root / "data", {"a.parquet": B})
    run(root, "data", "profile", "a")
    now, before = lines(root, "data", "versions", "a")
    assert (now["status"], now["held"], now["rows"]) == ("current", True, 1101)
    assert (before["status"], before["held"], before["rows"]) == ("retained", False, 1000)
    ids = [line["id"] for line in lines(root, "runs")]
    assert [now["runs"], before["runs"]] == [[ids[0]], [ids[1]]]
    table = run(root, "data", "versions", "a")
    assert re.search(rf"{before['identity']} +retained .* replaced +{ids[1]}", table)
    [found] = lines(root, "data", "diff", f"a@{before['identity'][:6]}", "a")
    [again] = lines(root, "data", "diff", "a@previous", "datasets.a")
    assert found == again
    assert found["keys"] is None
    assert before["identity"] in found["notes"][0]
    [back] = lines(root, "data", "diff", "a", "a@previous")
    assert back["bins_of"] == "b"  # only the rows of A are there, so they are counted into the bins of B
    forth = {item["name"]: item["jensen_shannon"] for item in found["columns"]}
    assert {item["name"]: item["jensen_shannon"] for item in back["columns"]} == pytest.approx(forth)


def test_a_previous_version_is_kept_by_default_and_none_with_retain_zero(root: Path) -> None:
    for number in range(7):
        write_sql(root / "data", {"a.parquet": f"SELECT {number} AS k, 'x' AS \"città\""})
        run(root, "data", "profile", "a")
    assert len(lines(root, "data", "versions", "a")) == 6
    (root / "mlctl.yaml").write_text(PROJECT.replace("data/a.parquet,", "data/a.parquet, lifecycle: {retain: 0},"))
    run(root, "apply", "--auto-approve")
    assert [line["status"] for line in lines(root, "data", "versions", "a")] == ["current"]
    [problem] = lines(root, "data", "diff", "a@previous", "a", code=1)
    assert problem["code"] == "data.no-version"


def test_where_no_rows_are_left_bins_that_are_the_same_are_compared(root: Path) -> None:
    queries = [
        f"SELECT 1 AS k, 'x' AS \"città\", i % {step} = 0 AS odd, i * {step} AS v FROM range(100) r(i)"
        for step in (2, 4, 5)
    ]
    for query in queries:
        write_sql(root / "data", {"a.parquet": query})
        run(root, "data", "profile", "a")
    _, second, first = lines(root, "data", "versions", "a")
    [found] = lines(root, "data", "diff", f"a@{first['identity']}", f"a@{second['identity']}")
    distances = {item["name"]: item["psi"] for item in found["columns"]}
    assert distances["v"] is None  # it was cut elsewhere each time
    assert distances["k"] == 0.0
    assert len(found["notes"]) == 2


def test_the_page_of_a_profile_loads_nothing_and_runs_no_script(root: Path) -> None:
    hostile = (
        "SELECT '<script>alert(1)</script>' AS \"<img src=x onerror=y>\", i AS k, 'x' AS \"città\" FROM range(50) r(i)"
    )
    write_sql(root / "data", {"a.parquet": hostile})
    run(root, "data", "profile", "a", "--html", "p.html")
    page = _Page((root / "p.html").read_text())
    assert page.loads == []
    assert not {"script", "img", "link", "iframe"} & set(page.tags)
    assert page.tags.count("svg") >= 2
    [line] = [line for line in lines(root, "data", "profile", "a") if line["type"] == "profile"]
    assert [column["name"] for column in line["columns"]] == ["<img src=x onerror=y>", "k", "città"]


def test_a_profile_that_was_removed_is_made_anew_on_request(root: Path) -> None:
    run(root, "data", "profile", "a")
    [path] = (root / ".mlctl/default/objects/datasets.a").glob("*/profile.json")
    path.unlink()
    told = lines(root, "data", "profile", "a", code=1)[-1]
    assert told["code"] == "data.no-profile"
    assert "apply --replace datasets.a" in told["fix"]

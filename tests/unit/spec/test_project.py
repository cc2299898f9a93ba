from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlctl.provider import Block
from mlctl.registry import Registry
from mlctl.spec.project import load_project
from mlctl.types.address import Address
from mlctl.types.change import EdgeKind
from mlctl.types.diagnostic import MlctlError
from mlctl.views.human.diagnostics import render
from tests.unit.spec.toys import GOOD, DatasetSpec, Toy, context, load, problems, registry

INPUT, GATE, ORDER = EdgeKind.INPUT, EdgeKind.GATE, EdgeKind.ORDER


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages name files relative to where the command runs."""
    monkeypatch.chdir(tmp_path)


def golden(folder: Path, text: str | bytes, expected: str) -> None:
    assert render(problems(folder, text), width=100) == expected.lstrip("\n")


def test_a_good_project_is_typed_and_linked(tmp_path: Path) -> None:
    project = load(tmp_path, GOOD)
    assert (project.name, project.owner.team, project.owner.on_call) == ("rides", "mobility", "")
    assert project.settings == {"tracking": {"uri": "sqlite:///x.db", "retries": 5}}
    assert project.files == (tmp_path / "mlctl.yaml",)
    edges = {
        str(source): {str(target): kinds for target, kinds in found.items()} for source, found in project.edges.items()
    }
    assert edges == {
        "datasets.trips": {},
        "datasets.labels": {},
        "data_checks.labels_ok": {"datasets.labels": {INPUT}, "datasets.trips": {INPUT}},
        "training.churn": {"datasets.labels": {INPUT}, "datasets.trips": {INPUT}, "data_checks.labels_ok": {GATE}},
        "evaluations.gate": {"training.churn": {INPUT}},
        "deployments.api": {"evaluations.gate": {INPUT}, "data_checks.labels_ok": {ORDER}},
    }
    assert [str(address) for address in project.order] == [
        "datasets.labels", "datasets.trips", "data_checks.labels_ok", "training.churn", "evaluations.gate", "deployments.api",
    ]  # fmt: skip


def test_places_of_resources_and_their_fields(tmp_path: Path) -> None:
    project = load(tmp_path, GOOD)
    churn = Address("training", "churn")
    assert str(project.where(churn)) == "mlctl.yaml:11:3"
    assert str(project.where(churn, ("model", "hidden", 1))) == "mlctl.yaml:13:37"
    assert str(project.where(churn, ("model", "hidden"), key=True)) == "mlctl.yaml:13:24"
    assert project.where(Address("training", "nothing")) is None


def test_the_digest_is_of_values_not_of_text(tmp_path: Path) -> None:
    first = load(tmp_path, "project: x\ndatasets: {a: {path: p}, b: {path: q}}\n").digest
    assert load(tmp_path, "datasets:\n  b:\n    path: 'q' # why\n  a: {path: p}\n\nproject: x\n").digest == first
    assert load(tmp_path, "project: x\ndatasets: {a: {path: p}, b: {path: r}}\n").digest != first
    assert load(tmp_path, "project: y\ndatasets: {a: {path: p}, b: {path: q}}\n").digest != first
    assert load(tmp_path, "project: x\ntracking: {}\ndatasets: {a: {path: p}, b: {path: q}}\n").digest != first


def test_guards_gate_every_other_user_and_not_each_other(tmp_path: Path) -> None:
    project = load(
        tmp_path,
        """
project: x
datasets: {d: {path: p}, other: {path: q}}
data_checks: {one: {dataset: d}, two: {dataset: d}}
training:
  user: {data: {labels: d}}
  stranger: {data: {labels: other}}
evaluations:
  text: {model: "at ${datasets.d.path}"}
  waits: {model: m, depends_on: [datasets.d]}
""",
    )
    gates = {
        str(source): sorted(target.name for target, kinds in found.items() if GATE in kinds)
        for source, found in project.edges.items()
    }
    assert {name: found for name, found in gates.items() if found} == {
        "training.user": ["one", "two"],
        "evaluations.text": ["one", "two"],
    }


def test_settings_are_there_when_written_or_in_use(tmp_path: Path) -> None:
    assert load(tmp_path, "project: x\ndatasets: {d: {path: p}}\n").settings == {}
    used = load(tmp_path, "project: x\ndatasets: {d: {path: p}}\ntraining: {t: {data: {labels: d}}}\n")
    assert used.settings == {"tracking": {"uri": "sqlite:///x.db", "retries": 3}}
    assert load(tmp_path, "project: x\ntracking: {}\n").settings == used.settings


def test_settings_without_defaults_are_asked_for_where_they_are_used(tmp_path: Path) -> None:
    class Needed(Block):
        uri: str

    (tmp_path / "mlctl.yaml").write_text("project: x\ndatasets: {d: {path: p}}\n")
    kinds = Registry.of(Toy("datasets", DatasetSpec, frozenset({"store"})), settings={"store": Needed})
    with pytest.raises(MlctlError) as caught:
        load_project(tmp_path, kinds)
    (found,) = caught.value.diagnostics
    assert (found.code, found.summary, str(found.where)) == (
        "spec.missing-field", "store needs the field `uri`", "mlctl.yaml:2:12",
    )  # fmt: skip


def test_checks_of_kinds_get_their_place(tmp_path: Path) -> None:
    project = load(tmp_path, "project: x\ndatasets:\n  a: {path: nowhere.parquet}\n  b: {path: ../../x}\n")
    first, second = project.check(context(tmp_path))
    assert (first.code, str(first.where), first.address) == ("toy.no-file", "mlctl.yaml:3:13", "datasets.a")
    assert (second.code, str(second.where), second.address) == ("spec.path-outside", "mlctl.yaml:4:3", "datasets.b")


def test_unknown_field(tmp_path: Path) -> None:
    golden(
        tmp_path,
        "project: x\ndatasets: {labels: {path: p}}\ntraining:\n  sentiment:\n    data: {labels: labels}\n    learning_rat: 2e-5\n",
        """
error[spec.unknown-field]: unknown field `learning_rat` in training.sentiment
  --> mlctl.yaml:6:5
6 |     learning_rat: 2e-5
  |     ^^^^^^^^^^^^
why: there is no such field here; it is refused so that a typo cannot run with defaults
fix: did you mean `learning_rate`?
""",
    )


def test_wrong_type(tmp_path: Path) -> None:
    golden(
        tmp_path,
        "project: x\ndatasets:\n  trips: {path: p, rows: many}\n",
        """
error[spec.wrong-type]: datasets.trips.rows takes a whole number
  --> mlctl.yaml:3:26
3 |   trips: {path: p, rows: many}
  |                          ^^^^
why: the text `many` stands there
fix: write a number, without quotes
""",
    )


def test_duplicate_key(tmp_path: Path) -> None:
    golden(
        tmp_path,
        "project: x\ndatasets:\n  trips: {path: p}\n  trips: {path: q}\n",
        """
error[spec.duplicate-key]: `trips` stands twice in one block
  --> mlctl.yaml:4:3
4 |   trips: {path: q}
  |   ^^^^^
why: the first is at mlctl.yaml:3:3; only one of them could count
fix: remove one of the two, or rename it
""",
    )


def test_cycle(tmp_path: Path) -> None:
    golden(
        tmp_path,
        """\
project: x
evaluations:
  b: {model: "${evaluations.c.model}"}
  c: {model: m, depends_on: [evaluations.a]}
  a: {model: "${evaluations.b.model}"}
  behind: {model: "${evaluations.a.model}"}
""",
        """
error[spec.cycle]: these resources wait for each other: evaluations.a → evaluations.b → evaluations.c → evaluations.a
  --> mlctl.yaml:5:14
5 |   a: {model: "${evaluations.b.model}"}
  |              ^^^^^^^^^^^^^^^^^^^^^^^^
why: evaluations.a names evaluations.b here; none of them could come first
fix: remove one of the references
""",
    )


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(MlctlError) as caught:
        load_project(tmp_path, registry())
    assert (
        render(caught.value.diagnostics)
        == """\
error[spec.no-project]: there is no project file at mlctl.yaml
why: a project is described by this file
fix: run `mlctl init` to begin a project, or name its folder with `--project`
"""
    )


def test_dangling_reference(tmp_path: Path) -> None:
    golden(
        tmp_path,
        "project: x\ndatasets: {trips: {path: p}}\ndata_checks: {ok: {dataset: tripps}}\n",
        """
error[spec.dangling-reference]: there is no `tripps` in `datasets`
  --> mlctl.yaml:3:29
3 | data_checks: {ok: {dataset: tripps}}
  |                             ^^^^^^
why: data_checks.ok.dataset names it
fix: did you mean `trips`?
""",
    )


def test_tab(tmp_path: Path) -> None:
    golden(
        tmp_path,
        "project: x\ndatasets:\n\ttrips: {path: p}\n",
        """
error[spec.tab]: a tab is used as indentation
  --> mlctl.yaml:3:1
3 |     trips: {path: p}
  | ^^^^
why: YAML indents with spaces only, since editors do not agree on the width of a tab
fix: replace the tab by spaces
""",
    )


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing yet\n", "---\n", "null\n"])
def test_empty_file(tmp_path: Path, text: str) -> None:
    golden(
        tmp_path,
        text,
        """
error[spec.empty]: mlctl.yaml is empty
  --> mlctl.yaml:1:1
why: nothing but comments and space is in it
fix: write `project: NAME`, or run `mlctl init` in an empty folder
""",
    )


def test_ten_megabytes(tmp_path: Path) -> None:
    started = time.process_time()
    golden(
        tmp_path,
        b"project: x\n" + b"# filler\n" * 1_111_111,
        """
error[spec.too-large]: mlctl.yaml has 10,000,010 bytes; a project file may have 5,000,000
why: a project file describes resources; a file of this size is usually data
fix: if it is the right file, split it and name the parts in `include`
""",
    )
    assert time.process_time() - started < 1


def test_not_utf8(tmp_path: Path) -> None:
    golden(
        tmp_path,
        b"project: caf\xe9\n",
        """
error[spec.encoding]: mlctl.yaml is not UTF-8 text: byte 0xe9 at offset 12
  --> mlctl.yaml:1:13
1 | project: caf�
  |             ^
why: project files are UTF-8, so that they read the same on every machine
fix: save the file as UTF-8, for example with `iconv -f latin1 -t utf-8 mlctl.yaml`
""",
    )


def test_all_problems_are_told_at_once_in_file_order(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """\
project: x y
ownr: {}
deployments: {d: {model: churn@champion}}
training:
  a: {data: {labels: nothing}, epochs: 0}
  b: {data: {labels: trips}, depends_on: [training.b, training, x.y]}
datasets:
  trips: {path: 1}
  9lives: {path: p}
owner: {team: t, phone: 5}
""",
    )
    assert [(item.code, str(item.where).removeprefix("mlctl.yaml:"), item.address) for item in found] == [
        ("spec.bad-name", "1:10", ""),
        ("spec.unknown-section", "2:1", ""),
        ("spec.bad-value", "5:40", "training.a"),
        ("spec.cycle", "6:43", "training.b"),
        ("spec.bad-address", "6:55", "training.b"),
        ("spec.dangling-reference", "6:65", "training.b"),
        ("spec.wrong-type", "8:17", "datasets.trips"),
        ("spec.bad-name", "9:3", ""),
        ("spec.unknown-field", "10:18", ""),
    ]


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("datasets: {}\n", "spec.missing-field", "1:1"),
        ("project: 5\n", "spec.wrong-type", "1:10"),
        ("project: x\ndatasets: [a]\n", "spec.wrong-type", "2:11"),
        ("project: x\ndatasets: {a: }\n", "spec.wrong-type", "2:15"),
        ("project: x\ndatasets: {a: [b]}\n", "spec.wrong-type", "2:15"),
        ("project: x\nowner: me\n", "spec.wrong-type", "2:8"),
        ("project: x\ntracking:\n", "spec.wrong-type", "2:10"),
        ("project: x\ntracking: {uri: '${a.b.c}'}\n", "spec.bad-expression", "2:1"),
        ("project: x\ninclude: more\n", "spec.wrong-type", "2:10"),
        ("[project, x]\n", "spec.wrong-type", "1:1"),
        ("just text\n", "spec.wrong-type", "1:1"),
        ("project: x\ndatasets: {a b: {path: p}}\n", "spec.bad-name", "2:12"),
        (f"project: x\ndatasets: {{{'a' * 101}: {{path: p}}}}\n", "spec.bad-name", "2:12"),
        (f"project: {'x' * 101}\n", "spec.bad-name", "1:10"),
        ("project: x\ndatasets: {a.b: {path: p}}\n", "spec.bad-name", "2:12"),
    ],
)
def test_shapes_that_are_no_project(tmp_path: Path, text: str, code: str, place: str) -> None:
    (found,) = problems(tmp_path, text)
    assert (found.code, str(found.where)) == (code, f"mlctl.yaml:{place}")


def test_an_empty_section_is_none_at_all(tmp_path: Path) -> None:
    assert load(tmp_path, "project: x\ndatasets:\n  # a: {path: p}\ntraining: {}\n").resources == {}


def test_another_file_and_messages_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "other.yaml").write_text("project: 5\n")
    monkeypatch.chdir(tmp_path / "sub")
    with pytest.raises(MlctlError) as caught:
        load_project(tmp_path, registry(), tmp_path / "other.yaml")
    assert str(caught.value.diagnostics[0].where) == f"{tmp_path}/other.yaml:1:10"


def test_of_very_many_problems_the_first_are_told(tmp_path: Path) -> None:
    found = problems(tmp_path, "project: x\ndatasets:\n" + "".join(f"  n{n}: {{pth: p}}\n" for n in range(2_000)))
    assert len(found) == 1_001
    assert (found[-1].code, found[-1].summary) == ("spec.more-problems", "3,000 more problems are not shown")


def test_a_long_cycle_is_shortened(tmp_path: Path) -> None:
    blocks = "".join(f"  n{n:03d}: {{model: m, depends_on: [evaluations.n{(n + 1) % 500:03d}]}}\n" for n in range(500))
    (found,) = problems(tmp_path, f"project: x\nevaluations:\n{blocks}")
    assert found.code == "spec.cycle"
    assert "evaluations.n003 → … 493 more … → evaluations.n497" in found.summary


def _large(folder: Path, count: int) -> None:
    blocks = (f"  n{n}: {{path: data/{n}.parquet, key: [a, b], description: Number {n}}}\n" for n in range(count))
    checks = (f"  n{n}: {{dataset: n{n}, references: n{n // 2}}}\n" for n in range(count))
    text = "project: large\ndatasets:\n" + "".join(blocks) + "data_checks:\n" + "".join(checks)
    (folder / "mlctl.yaml").write_text(text)


_TIMED = """
import sys, time
from pathlib import Path
from mlctl.spec.project import load_project
from tests.unit.spec.toys import registry
started = time.process_time()
project = load_project(Path(sys.argv[1]), registry())
print(time.process_time() - started, len(project.order))
"""


def test_ten_thousand_resources_load_in_linear_time(tmp_path: Path) -> None:
    seconds = {}
    for count in (1_000, 5_000):
        _large(tmp_path, count)
        root = Path(__file__).parents[3]
        done = subprocess.run(
            [sys.executable, "-c", _TIMED, str(tmp_path)], capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONPATH": str(root)},
        )  # fmt: skip
        took, resources = done.stdout.split()
        assert int(resources) == 2 * count
        seconds[count] = float(took)
    assert seconds[5_000] < 2.0  # 0.5 on a quiet machine of 2026
    assert seconds[5_000] < 10 * seconds[1_000]

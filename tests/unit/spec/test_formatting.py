"""`fmt`: the same values, comments and anchors in one layout, and what is laid out stays as it is."""

import copy
import os
import stat
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from mlctl.cli.commands.fmt import app
from mlctl.spec.formatting import formatted
from mlctl.spec.source import Source
from mlctl.spec.tidy import comments
from mlctl.types.diagnostic import MlctlError
from mlctl.types.value import canonical

ROOT = Path(__file__).parents[3]
FILES = sorted(
    [*ROOT.glob("specs/**/*.yaml"), *ROOT.glob("templates/starters/**/*.yaml"), *ROOT.glob("tests/scenarios/*/*.yaml")]
)

MESSY = """\
# What this is

schedules:   {}
training:   # about training
    churn:
        data: {labels: a,   features: [x,y]}   # at the end
        # above lr
        lr: 2e-5
        seed: 0x1F
        yes: no
        empty:
        none: ~
        quoted: "3"
        text: |
            keep   # not a comment


            two
        folded: >-   # beside the head
            a b
            c
        # last of churn


    # about base
    base: &base {epochs: 5}
    other:
        <<: *base
        list:
        - a
        - b: 1
          c: [{d: 1}]
    wide: {columns: {purchase_id: bigint, household_id: bigint, basket_id: bigint, product_id: bigint, quantity: double}, x: 1}
datasets:
  a: {path: x.csv}
  # b: {path: y.csv}
# for the project
project:    demo
owner: {team: x}
"""
NEAT = """\
# What this is

# for the project
project: demo
owner: {team: x}

datasets:
  a: {path: x.csv}
  # b: {path: y.csv}

training:  # about training
  churn:
    data: {labels: a, features: [x, y]}  # at the end
    # above lr
    lr: 2e-5
    seed: 0x1F
    yes: no
    empty:
    none: ~
    quoted: "3"
    text: |
      keep   # not a comment


      two
    folded: >-  # beside the head
      a b
      c
    # last of churn

  # about base
  base: &base {epochs: 5}
  other:
    <<: *base
    list:
      - a
      - b: 1
        c: [{d: 1}]
  wide:
    columns: {purchase_id: bigint, household_id: bigint, basket_id: bigint, product_id: bigint, quantity: double}
    x: 1

schedules: {}
"""


def test_a_messy_file_becomes_a_neat_one() -> None:
    assert formatted("f", MESSY) == NEAT
    assert formatted("f", NEAT) == NEAT


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_project_of_the_repository_keeps_its_meaning_and_is_laid_out_once(path: Path) -> None:
    text = path.read_text().replace("@@{project}", "name").replace("@@project", "name")
    source = Source.of_text("f", text)
    if source.diagnostics:
        with pytest.raises(MlctlError):
            formatted("f", text)
        return
    once = formatted("f", text)
    assert formatted("f", once) == once
    assert canonical(Source.of_text("f", once).value) == canonical(source.value)
    assert Counter(comments(once)) == Counter(comments(text))


NAMES = st.from_regex(r"[a-z][a-z0-9_-]{0,6}", fullmatch=True)
PLAIN = st.sampled_from([
    "1", "0x1F", "010", "2e-5", "1_000", "yes", "no", "on", "null", "~", "true", "12:30", "2026-01-01", "a b", "20%", "${training.a.model}", "x" * 130, "word " * 30 + "end",
    "=", "<", "-a", "a#b", "::", "1.0", "+1", ".5", "v1.2",
])  # fmt: skip
QUOTED = st.sampled_from(
    ['"3"', "'it''s'", '"a: b # c"', "''", '"\\n\\t"', '"long ' + "word " * 30 + '"', '"ünï"', "'#x'"]
)
NOTES = st.sampled_from(["# a note", "#tight", "# with: yaml [x", "#", "# 'quote"])
LEAVES = PLAIN | QUOTED


@st.composite
def flows(draw: st.DrawFn, depth: int = 0) -> str:
    """A value on one line, with unusual spaces."""
    kind = draw(st.integers(0, 2 if depth < 2 else 0))
    if kind == 0:
        return draw(LEAVES.filter(lambda text: not set(text) & set(",[]{}#") or text[0] in "\"'"))
    items = draw(st.lists(flows(depth + 1), max_size=4))
    space = draw(st.sampled_from(["", " ", "   "]))
    if kind == 1:
        return "[" + space + f",{draw(st.sampled_from([' ', '  ']))}".join(items) + space + "]"
    names = draw(st.lists(NAMES, min_size=len(items), max_size=len(items), unique=True))
    return "{" + space + ", ".join(f"{name}: {item}" for name, item in zip(names, items, strict=True)) + space + "}"


@st.composite
def blocks(draw: st.DrawFn, indent: int = 0, depth: int = 0) -> list[str]:
    """The lines of a block: fields with values, blocks, lists and texts below them, comments and blank lines around."""
    step = draw(st.sampled_from([2, 3, 4]))
    lines: list[str] = []
    for name in draw(st.lists(NAMES, min_size=1, max_size=4, unique=True)):
        lines += [""] * draw(st.integers(0, 2))
        if draw(st.booleans()):
            lines.append(" " * indent + draw(NOTES))
        end = draw(st.sampled_from(["", "  ", "   # beside", " # near"]))
        head = " " * indent + name + ":" + draw(st.sampled_from(["", " "]))
        kind = draw(st.integers(0, 4 if depth < 3 else 1))
        if kind == 0:
            lines.append(head.rstrip() + end)
        elif kind == 1:
            lines.append(head.rstrip() + draw(st.sampled_from([" ", "   "])) + draw(flows()) + end)
        elif kind == 2:
            lines += [head.rstrip() + end, *draw(blocks(indent + step, depth + 1))]
        elif kind == 3:
            at = " " * (indent + draw(st.sampled_from([0, step])))
            lines.append(head.rstrip() + end)
            for item in draw(st.lists(flows(), min_size=1, max_size=3)):
                lines.append(
                    f"{at}-{draw(st.sampled_from([' ', '   ']))}{item}{draw(st.sampled_from(['', '  # of the item']))}"
                )
        else:
            mark = draw(st.sampled_from(["|", "|-", ">", ">-"]))
            body = draw(
                st.lists(st.sampled_from(["some text", "  deeper", "# no comment", "", "a: b"]), min_size=1, max_size=4)
            )
            lines.append(f"{head.rstrip()} {mark}")
            lines += [
                " " * (indent + step) + "first",
                *(" " * (indent + step) + line if line else "" for line in body),
                "",
            ]
    return lines


@settings(max_examples=60, deadline=None)
@given(blocks(), st.sampled_from(["\n", "\r\n"]))
def test_any_file_keeps_its_values_and_comments_and_comes_to_rest(lines: list[str], end: str) -> None:
    text = end.join(lines) + end
    source = Source.of_text("f", text)
    if source.diagnostics:
        return
    once = formatted("f", text)
    assert canonical(Source.of_text("f", once).value) == canonical(source.value)
    assert Counter(comments(once)) == Counter(comments(text))
    assert formatted("f", once) == once
    assert "\t" not in once


def test_anchors_stay_where_aliases_need_them_and_when_nothing_does() -> None:
    text = "training:\n  a: &a {x: &x 1}\ndatasets:\n  b: {<<: *a, y: *x}\n  c: &unused [1]\n"
    result = formatted("f", text)
    assert result.startswith("training:"), "`datasets` may not come before the anchors it uses"
    assert "&unused" in result


def test_braces_with_comments_inside_become_lines_of_their_own() -> None:
    text = "a: {\n  b: 1,  # one\n  # before c\n  c: [2, 3]\n}  # after\nd:  # of d\n- {}\n- [x]\n- 1 # last\n"
    neat = "a:\n  b: 1  # one\n  # before c\n  c: [2, 3]  # after\n\nd:  # of d\n  - {}\n  - [x]\n  - 1  # last\n"
    assert formatted("f", text) == neat
    assert formatted("f", neat) == neat


def run(*arguments: str, stdin: str = "") -> tuple[int, str]:
    done = CliRunner().invoke(app, list(arguments), input=stdin, standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return int(done.return_value), done.stdout


@pytest.fixture
def messy(tmp_path: Path) -> Path:
    (tmp_path / "more").mkdir()
    (tmp_path / "mlctl.yaml").write_text("project:   p\ninclude: [more/*.yaml]\n")
    (tmp_path / "more" / "a.yaml").write_text("datasets: {}\n")
    (tmp_path / "more" / "b.yaml").write_text("entities:   {}\n")
    os.chmod(tmp_path / "mlctl.yaml", 0o640)
    return tmp_path


def test_check_lists_what_is_not_laid_out_and_writes_nothing(messy: Path) -> None:
    before = {path: path.read_bytes() for path in messy.rglob("*.yaml")}
    code, text = run("--project", str(messy), "--check")
    assert (code, text.split()) == (1, [str(messy / "mlctl.yaml"), str(messy / "more/b.yaml")])
    code, text = run("--project", str(messy), "--check", "--diff")
    assert code == 1
    assert "-project:   p\n+project: p\n" in text
    assert before == {path: path.read_bytes() for path in messy.rglob("*.yaml")}


def test_files_are_written_with_their_mode_and_then_pass_the_check(messy: Path) -> None:
    assert run("--project", str(messy))[0] == 0
    assert (messy / "mlctl.yaml").read_text() == "project: p\ninclude: [more/*.yaml]\n"
    assert stat.S_IMODE((messy / "mlctl.yaml").stat().st_mode) == 0o640
    assert run("--project", str(messy), "--check") == (0, "")


def test_one_file_that_does_not_parse_is_told_with_its_place_and_the_others_are_written(messy: Path) -> None:
    (messy / "more" / "a.yaml").write_text("datasets: {\n")
    with pytest.raises(MlctlError) as caught:
        run("--project", str(messy))
    (problem,) = caught.value.diagnostics
    assert problem.where is not None
    assert problem.where.file.endswith("a.yaml")
    assert (messy / "more" / "b.yaml").read_text() == "entities: {}\n"
    assert (messy / "more" / "a.yaml").read_text() == "datasets: {\n"


def test_windows_line_ends_and_a_mark_at_the_head_go(tmp_path: Path) -> None:
    (tmp_path / "mlctl.yaml").write_bytes(b"\xef\xbb\xbfproject: p\r\n")
    assert run("--project", str(tmp_path), "--check")[0] == 1
    run("--project", str(tmp_path))
    assert (tmp_path / "mlctl.yaml").read_bytes() == b"project: p\n"


def test_standard_input_goes_to_standard_output() -> None:
    assert run("-", stdin="project:   p\n") == (0, "project: p\n")
    assert run("-", "--check", stdin="project:   p\n") == (1, "")
    assert run("-", "--check", stdin="project: p\n") == (0, "")


def test_values_are_compared_by_type_too() -> None:
    values = [1, 1.0, True, "1"]
    assert len({canonical(copy.copy(value)) for value in values}) == 4

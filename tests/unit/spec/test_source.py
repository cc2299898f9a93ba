from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlctl.spec.source import Source


def codes(source: Source) -> list[str]:
    return [item.code for item in source.diagnostics]


def marked(source: Source, path: tuple[str | int, ...], *, key: bool = False) -> str:
    """The text under the place of a path."""
    where = source.where_key(path) if key else source.where(path)
    assert where is not None
    return where.text[where.column - 1 : where.end_column - 1]


def test_values_of_every_form() -> None:
    text = """
    plain: no
    quoted: "no"
    number: 010
    quoted number: '010'
    empty:
    list: [1, 2e-5, 12:30]
    block: |
      two
      lines
    1: a number as a name
    true: a word as a name
    """
    source = Source.of_text("a.yaml", text)
    assert source.diagnostics == []
    assert source.value == {
        "plain": "no",
        "quoted": "no",
        "number": 10,
        "quoted number": "010",
        "empty": None,
        "list": [1, 2e-5, "12:30"],
        "block": "two\nlines\n",
        "1": "a number as a name",
        "true": "a word as a name",
    }


@pytest.mark.parametrize("text", ["", "# a comment\n", "\n\n", "---\n"])
def test_nothing_is_none(text: str) -> None:
    source = Source.of_text("a.yaml", text)
    assert source.value is None
    assert source.diagnostics == []


def test_places_count_characters_whatever_they_take_on_disk() -> None:
    source = Source.of_text("a.yaml", 'naïve: {日本: "🚲 x", b: [é, 𝔘𝔫, c]}\r\nlast: z\n')
    assert marked(source, ("naïve", "日本")) == '"🚲 x"'
    assert marked(source, ("naïve", "日本"), key=True) == "日本"
    assert marked(source, ("naïve", "b", 1)) == "𝔘𝔫"
    assert marked(source, ("naïve", "b", 2), key=True) == "c"
    assert str(source.where(("last",))) == "a.yaml:2:7"


def test_a_place_that_is_not_in_the_file_is_the_nearest_one_around_it() -> None:
    source = Source.of_text("a.yaml", "a:\n  b: {c: 1}\n")
    assert marked(source, ("a", "b", "nothing", 3)) == "{c: 1}"
    assert marked(source, ("a", "b", "c", "deeper")) == "1"
    assert marked(source, ("a", "nothing"), key=True) == "a"
    assert Source.of_text("a.yaml", "").where(("a",)) is None
    assert Source.of_text("a.yaml", "a: [").where(("a",)) is None


def test_a_value_of_many_lines_is_marked_on_its_first() -> None:
    source = Source.of_text("a.yaml", "a:\n  b: 1\n  c: 2\n")
    assert marked(source, ("a",)) == "b: 1"


def test_duplicate_keys_name_both_places_and_the_first_counts() -> None:
    source = Source.of_text("a.yaml", "a: 1\nb: {c: 1, d: 2, c: 3}\na: 2\n")
    assert source.value == {"a": 1, "b": {"c": 1, "d": 2}}
    assert [(item.code, str(item.where)) for item in source.diagnostics] == [
        ("spec.duplicate-key", "a.yaml:2:17"),
        ("spec.duplicate-key", "a.yaml:3:1"),
    ]
    assert "the first is at a.yaml:2:5" in source.diagnostics[0].why
    assert "the first is at a.yaml:1:1" in source.diagnostics[1].why


def test_many_duplicates_cost_little_and_are_told_in_part() -> None:
    started = time.process_time()
    source = Source.of_text("a.yaml", "a: 1\n" * 50_000)
    assert time.process_time() - started < 2
    assert codes(source) == ["spec.duplicate-key"] * 100


def test_anchors_stand_for_what_they_name() -> None:
    source = Source.of_text("a.yaml", "a: &x {k: [1]}\nb: *x\nc: [*x, *x]\n")
    assert source.value == {"a": {"k": [1]}, "b": {"k": [1]}, "c": [{"k": [1]}, {"k": [1]}]}
    assert str(source.where(("c", 1, "k", 0))) == "a.yaml:1:12"


def test_merge_keys_take_over_what_the_block_does_not_say() -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc:\n  <<: [*a, *b]\n  x: 3\nd: {<<: *b, '<<': text}\n"
    source = Source.of_text("a.yaml", text)
    assert source.value["c"] == {"x": 3, "y": 1, "z": 2}
    assert source.value["d"] == {"<<": "text", "y": 2, "z": 2}
    assert str(source.where(("c", "z"))) == "a.yaml:2:17"
    assert str(source.where(("c", "x"))) == "a.yaml:5:6"


@pytest.mark.parametrize("merged", ["1", "[*a, 2]", "text"])
def test_only_blocks_can_be_merged(merged: str) -> None:
    assert codes(Source.of_text("a.yaml", f"a: &a {{x: 1}}\nb: {{<<: {merged}}}\n")) == ["spec.bad-merge"]


def test_tags_are_refused_and_the_rest_is_still_read() -> None:
    source = Source.of_text("a.yaml", "a: !!str 1\nb: !secret x\nc: !!python/object:os.system [x]\nd: 4\n!k e: 5\n")
    assert codes(source) == ["spec.tag"] * 4
    assert source.value["d"] == 4
    assert "`!secret`" in source.diagnostics[1].summary


def test_numbers_that_cannot_be_stored_are_refused_with_their_place() -> None:
    source = Source.of_text("a.yaml", "a: [1, .nan, 1e999]\n")
    assert [str(item.where) for item in source.diagnostics] == ["a.yaml:1:8", "a.yaml:1:14"]
    assert codes(source) == ["spec.bad-number"] * 2


@pytest.mark.parametrize("text", ['a: "x\\0y"', 'a: "\\e[31m"', '"a\\nb": 1', '"\\u202e": 1'])
def test_escapes_that_make_control_characters_are_refused(text: str) -> None:
    assert codes(Source.of_text("a.yaml", text)) == ["spec.control-character"]


@pytest.mark.parametrize("text", ["? [a]\n: 1", "? {a: 1}\n: 1", "?\n: 1"])
def test_names_are_words(text: str) -> None:
    assert codes(Source.of_text("a.yaml", text)) == ["spec.bad-key"]


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? ", "[{a: "])
def test_deep_nesting_is_refused_before_the_stack_ends(opening: str) -> None:
    assert codes(Source.of_text("a.yaml", opening * 200_000)) == ["spec.too-deep"]


def test_a_file_of_a_million_values_is_refused() -> None:
    started = time.process_time()
    (found,) = Source.of_text("a.yaml", "- a\n" * 1_000_000).diagnostics
    assert (found.code, found.summary) == ("spec.too-large", "a.yaml holds more than 500,000 names and values")
    assert time.process_time() - started < 5


def test_deep_indentation_is_refused() -> None:
    assert codes(Source.of_text("a.yaml", "\n".join(" " * level + "a:" for level in range(1500)))) == ["spec.too-deep"]


@pytest.mark.parametrize("text", ["a: &a [*a]", "&a {b: *a}", "a: &a {<<: *a}", "a: &a [&b [*a, *b]]"])
def test_an_anchor_that_holds_itself_is_refused(text: str) -> None:
    assert codes(Source.of_text("a.yaml", text)) in (["spec.too-deep"], ["spec.alias-expansion"])


def test_an_alias_bomb_is_refused_in_bounded_time() -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 20)]
    started = time.process_time()
    source = Source.of_text("a.yaml", "\n".join(levels))
    assert codes(source) == ["spec.alias-expansion"]
    assert time.process_time() - started < 2


def test_places_of_a_large_file(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    path.write_text(
        "".join(f"r{n}:\n  cron: '0 3 * * *'\n  run: retrain\n  targets: [a.b{n}]\n  n: {n}\n" for n in range(10_000))
    )
    source = Source.parse(path)
    value = source.value["r9999"]
    assert value == {"cron": "0 3 * * *", "run": "retrain", "targets": ["a.b9999"], "n": 9999}
    assert str(source.where(("r9999", "n"))) == f"{path}:50000:6"


@given(st.text())
def test_any_text_gives_a_value_or_diagnostics(text: str) -> None:
    source = Source.of_text("a.yaml", text)
    assert source.value is None or source.diagnostics is not None
    for item in source.diagnostics:
        assert item.summary
        if item.where is not None:
            assert 1 <= item.where.line <= len(source.lines) + 1
            assert item.where.column < item.where.end_column


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("ab 0:#-é🚲"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=4),
    max_leaves=20,
)


@given(_JSON)
def test_json_is_yaml(value: object) -> None:
    import json

    source = Source.of_text("a.yaml", json.dumps(value, ensure_ascii=False))
    assert source.diagnostics == []
    assert source.value == value

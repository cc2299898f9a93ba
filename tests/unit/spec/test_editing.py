"""A field of a project file is changed in its text, and nothing else is: comments, layout and order stay as they were."""

from __future__ import annotations

import difflib
from typing import Any

import pytest
import yaml
from hypothesis import event, given, settings
from hypothesis import strategies as st

from mlctl.spec.editing import REMOVED, edited, edited_all
from mlctl.spec.source import Source
from mlctl.types.diagnostic import MlctlError

PROJECT = """\
# top ü 😀
project: demo   # the name
training:
  a:
    # why
    executor: {type: skypilot, gpu: A100, storage: s3://b/c}   # rented
    strategy: single   # one
    method:
      type: full   # all
    checkpoint:
    note: |
      lines
      more

  b:
    <<: {epochs: 2}
    model: &shared {type: mlp, hidden: [8]}
    batch_size: ${var.rows}
  c:
    model: *shared
deployments:
  d: {serve: {engine: vllm, port: 1}, gates: {}}
"""


def change(path: str, value: Any, text: str = PROJECT) -> list[str]:
    """The lines that differ."""
    after = edited("mlctl.yaml", text, path.split("."), value)
    return [
        line for line in list(difflib.unified_diff(text.splitlines(), after.splitlines(), n=0))[2:] if line[0] in "+-"
    ]


@pytest.mark.parametrize(
    ("path", "value", "lines"),
    [
        ("training.a.executor.gpu", "H100", [
            "-    executor: {type: skypilot, gpu: A100, storage: s3://b/c}   # rented",
            "+    executor: {type: skypilot, gpu: H100, storage: s3://b/c}   # rented"]),
        ("training.a.executor.spot", True, [
            "-    executor: {type: skypilot, gpu: A100, storage: s3://b/c}   # rented",
            "+    executor: {type: skypilot, gpu: A100, storage: s3://b/c, spot: true}   # rented"]),
        ("training.a.executor.gpu", REMOVED, [
            "-    executor: {type: skypilot, gpu: A100, storage: s3://b/c}   # rented",
            "+    executor: {type: skypilot, storage: s3://b/c}   # rented"]),
        ("training.a.executor.storage", REMOVED, [
            "-    executor: {type: skypilot, gpu: A100, storage: s3://b/c}   # rented",
            "+    executor: {type: skypilot, gpu: A100}   # rented"]),
        ("training.a.strategy", {"type": "fsdp", "processes": 4}, [
            "-    strategy: single   # one", "+    strategy: {type: fsdp, processes: 4}   # one"]),
        ("training.a.method", {"type": "lora", "r": 16}, [
            "-      type: full   # all", "+      type: lora   # all", "+      r: 16"]),
        ("training.a.memory.gradient_checkpointing", True, ["+    memory: {gradient_checkpointing: true}"]),
        ("training.a.checkpoint.every", "10 minutes", ["-    checkpoint:", "+    checkpoint: {every: 10 minutes}"]),
        ("training.a.note", REMOVED, ["-    note: |", "-      lines", "-      more"]),
        ("training.b.epochs", 5, ["+    epochs: 5"]),
        ("deployments.d.serve.engine.quantization", "fp8", [
            "-  d: {serve: {engine: vllm, port: 1}, gates: {}}",
            "+  d: {serve: {engine: {type: vllm, quantization: fp8}, port: 1}, gates: {}}"]),
        ("deployments.d.gates.x", {"a": "yes"}, [
            "-  d: {serve: {engine: vllm, port: 1}, gates: {}}",
            "+  d: {serve: {engine: vllm, port: 1}, gates: {x: {a: 'yes'}}}"]),
        ("deployments.d.serve.port", 1, []),
        ("budget.max_usd", 5, ["+budget: {max_usd: 5}"]),
    ],
)  # fmt: skip
def test_only_the_lines_of_the_field_change(path: str, value: Any, lines: list[str]) -> None:
    assert change(path, value) == lines


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        ("training.b.batch_size", 64, "decided elsewhere"),
        ("training.c.model.hidden", [16], "what an anchor elsewhere holds"),
        ("training.a.method", REMOVED, "the comment `# all` would be lost"),
        ("deployments.d.serve.port.number", 2, "`port` is no block"),
    ],
)
def test_what_cannot_be_changed_without_harm_is_refused_with_the_reason(path: str, value: Any, why: str) -> None:
    with pytest.raises(MlctlError) as told:
        change(path, value)
    assert why in f"{told.value.diagnostics[0].summary} {told.value.diagnostics[0].why}"
    assert told.value.diagnostics[0].code == "edit.not-safe"


def test_several_changes_of_which_one_breaks_another_place_are_refused() -> None:
    text = "a: {b: &x 1, c: 2}\nd: *x\n"
    with pytest.raises(MlctlError) as told:
        edited_all("f", text, [(["a", "b"], 5), (["a", "c"], REMOVED)])
    assert "hangs on what was there" in told.value.diagnostics[0].why


def test_what_is_taken_out_whole_goes_with_its_comments_and_no_other_is_lost() -> None:
    text = "a:\n  # above\n  b:\n    # inside\n    c: 1   # beside\n  d: 2   # last\n"
    with pytest.raises(MlctlError) as told:
        edited_all("f", text, [(["a", "b"], REMOVED)])
    assert "would be lost" in told.value.diagnostics[0].why
    assert edited_all("f", text, [(["a", "b"], REMOVED)], whole=True) == "a:\n  # above\n  d: 2   # last\n"


def test_a_block_that_ends_with_an_alias_takes_a_new_field_below_it() -> None:
    text = "a: &x {b: 1}\nc:\n  d: 2\n  e: *x   # the same\nf: 3\n"
    assert edited("f", text, ["c", "g"], 4) == text.replace("# the same\n", "# the same\n  g: 4\n")
    assert edited("f", "a: &x {b: 1}\nc:\n  d:\n    e: *x", ["c", "g"], 4).endswith("    e: *x\n  g: 4\n")


def test_a_block_that_an_alias_stands_for_too_is_left_as_it_is() -> None:
    with pytest.raises(MlctlError) as told:
        edited("f", "a: &x {b: 1}\nc: *x\n", ["a", "b"], 2)
    assert told.value.diagnostics[0].why.startswith("an alias elsewhere stands for the same block")


def test_a_file_without_an_end_of_line_and_one_of_windows_keep_their_ways() -> None:
    assert edited("f", "a:\n  b: 1", ["a", "c"], 2) == "a:\n  b: 1\n  c: 2\n"
    assert edited("f", "a:\r\n  b: 1\r\nd: 3\r\n", ["a", "c"], 2) == "a:\r\n  b: 1\r\n  c: 2\r\nd: 3\r\n"


def test_a_comment_behind_the_last_field_stays_where_it_is() -> None:
    text = "a:\n  b: 1  # one\n  # about nothing\n\nc: 2\n"
    assert edited("f", text, ["a", "d"], 3) == "a:\n  b: 1  # one\n  d: 3\n  # about nothing\n\nc: 2\n"


WORDS = st.sampled_from(["type", "gpu", "spot", "every", "n"])
SCALARS = (
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["lora", "10 minutes", "on", "a: b", "# no", "ü"])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.dictionaries(WORDS, inner, max_size=3) | st.lists(inner, max_size=2), max_leaves=6
)


@settings(max_examples=150, deadline=None)
@given(
    document=st.dictionaries(WORDS, VALUES, min_size=1, max_size=4), path=st.lists(WORDS, min_size=1, max_size=3), value=VALUES,
    flow=st.sampled_from([True, False, None]), comment=st.booleans(),
)  # fmt: skip
def test_whatever_is_set_is_read_again_with_all_that_was_there_or_refused(
    document: dict[str, Any], path: list[str], value: Any, flow: bool | None, comment: bool
) -> None:
    text = yaml.safe_dump(document, default_flow_style=flow, allow_unicode=True, sort_keys=False)
    if comment:
        text = "# kept\n" + text.replace("\n", "   # kept too\n", 1) if flow is not None else "# kept\n" + text
    if Source.of_text("f", text).diagnostics:
        return
    before = Source.of_text("f", text).value
    try:
        after = edited("f", text, path, value)
    except MlctlError as error:
        event(error.diagnostics[0].why)
        return
    now = Source.of_text("f", after).value
    there = now
    for part in path:
        there = there[part]
    assert there == value
    first = path[0]
    assert {name: item for name, item in now.items() if name != first} == {
        name: item for name, item in before.items() if name != first
    }
    assert after.count("# kept") >= text.count("# kept")

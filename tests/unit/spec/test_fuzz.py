"""Whatever stands in a project file, loading it gives a project or diagnostics, soon."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from mlctl.types.diagnostic import Diagnostic, MlctlError
from mlctl.views.human.diagnostics import render
from mlctl.views.json.diagnostics import to_json
from tests.unit.spec.toys import GOOD, context, load

SECONDS = 2.0

# Pieces that mean something to YAML, to mlctl or to a terminal.
_PIECES = st.sampled_from(
    [
        "\t", "\n", "\r", "  ", ": ", ":", "- ", "? ", "*a", "&a ", "<<: ", "!x ", "!!str ", "|", ">", "{", "}", "[", "]", ",", "'", '"',
        "#", "%YAML 1.1", "---", "...", "${", "}", "${training.churn.x}", "${a", "null", "~", ".nan", "1e999", "0x", "true", "\x00",
        "\x1b[31m", "\u202e", "\ud7ff", "\ufeff", "\x85", "\u2028", "🚲", "datasets", "trips", "labels", "churn@champion", "depends_on: [",
        "for_each: [a, b]", "matrix: {x: [1, 2]}, ", "${each.key}", "${var.n}", "${env.HOME}", "variables: {n: {type: int, default: 1}}\n",
        "environments: {dev: {training: {churn: {epochs: 2}}}}\n", "modules: {m: {source: m.yaml}}\n", "churn[\"a\"]", "churn[*]",
        "moved: [{from: datasets.x, to: datasets.trips}]\n", "include: ['**']\n", "training.churn", "project: ", "9" * 400, "[" * 70, "a" * 3000,
    ]
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """The good project with parts cut, repeated, swapped or replaced."""
    text = GOOD
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 40)))
        piece = draw(_PIECES | st.text(max_size=8) | st.just(text[start:end] * 2) | st.just(""))
        text = text[:start] + piece + text[end:]
    data = text.encode("utf-8", "surrogatepass")
    if draw(st.booleans()) and data:
        place = draw(st.integers(0, len(data) - 1))
        data = data[:place] + draw(st.binary(max_size=3)) + data[place + draw(st.integers(0, 2)) :]
    return data


def _diagnostics(folder: Path, data: bytes) -> Sequence[Diagnostic]:
    """What loading says; nothing when the project is good, and it is then whole."""
    try:
        project = load(folder, data)
    except MlctlError as error:
        return error.diagnostics
    project.check(context(folder))
    assert set(project.order) == set(project.resources)
    return ()


def _load(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        started = time.process_time()
        found = _diagnostics(Path(name), data)
        assert all(item.code.startswith("spec.") and item.summary and to_json(item) for item in found)
        assert render(found, width=80).replace("\n", "").isprintable()
        assert time.process_time() - started < SECONDS


@settings(max_examples=300, deadline=None)
@given(mutated())
def test_mutated_projects(data: bytes) -> None:
    _load(data)


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=400)
    | st.lists(_PIECES, max_size=40).map(lambda items: "".join(items).encode("utf-8", "surrogatepass"))
)
def test_random_bytes(data: bytes) -> None:
    _load(data)

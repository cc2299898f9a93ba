"""The analysis of an experiment as Markdown, for a comment or a summary of a pipeline."""

from __future__ import annotations

from mlctl.providers.ab_test.analysis import Analysis
from mlctl.providers.ab_test.marks import marks
from mlctl.views.human.experiment import HEADS, blamed, headline, look, row, shares, subgroups, units, weeks
from mlctl.views.markdown.text import code, plain


def render(analysis: Analysis) -> str:
    """All of it."""
    outputs = analysis.outputs
    lines = [
        f"### {plain(analysis.experiment)}: {plain(headline(outputs))}",
        "",
        plain(f"{outputs['rule']}."),
        "",
        *(f"- {plain(reason)}" for reason in outputs["reasons"]),
        *(
            f"- {name}: {plain(text)}"
            for name, text in (("units", units(outputs)), ("look", look(outputs)), ("shares", shares(outputs)))
        ),
        *(f"  - {plain(one)}" for one in blamed(outputs)),
        "",
    ]
    if outputs["metrics"]:
        lines += [f"| {' | '.join(HEADS)} |", f"|{'---|' * len(HEADS)}"]
        lines += [f"| {' | '.join(plain(cell) for cell in row(one))} |" for one in outputs["metrics"]] + [""]
    notes = [*subgroups(outputs), *weeks(outputs), *marks(analysis.moments, outputs)]
    lines += [f"- {plain(one.strip())}" for one in notes]
    return "\n".join([*lines, "", f"Kept as {code(analysis.decision)}.", ""])

"""The model that a deployment, or an arm of one, serves."""

from __future__ import annotations


def registered(model: str) -> str:
    """`name@alias`, as an evaluation registers it. Raises ValueError."""
    name, mark, alias = model.partition("@")
    if not (name and mark and alias):
        raise ValueError(
            f"{model!r} does not name a registered model; write `name@alias` as in the `register` block of an evaluation, "
            "for example `churn@champion`"
        )
    return model

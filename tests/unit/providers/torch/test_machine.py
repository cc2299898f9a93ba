from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlctl.providers.torch import machine
from mlctl.providers.torch.layout import fixed_layout
from mlctl.providers.torch.spec import TrainingSpec

TEXT: dict[str, Any] = {
    "data": {"dataset": "chat", "text": "t"}, "model": {"type": "causal_lm", "base": "models/tiny"}, "epochs": 1,
    "optimizer": {"lr": 0.1},
}  # fmt: skip


def missing(changed: dict[str, Any]) -> list[str]:
    spec = TrainingSpec.model_validate({**TEXT, **changed})
    layout = fixed_layout(spec)
    assert layout is not None
    return [f"{item.summary}; {item.fix}" for item in machine.missing_tools(spec, layout)]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"method": {"type": "qlora"}}, "pip install 'mlctl[qlora]'"),
        ({"method": {"type": "galore"}}, "pip install 'mlctl[galore]'"),
        ({"optimizer": {"type": "adamw_8bit", "lr": 0.1}}, "pip install 'mlctl[qlora]'"),
        ({"strategy": {"type": "zero2", "processes": 2}}, "`deepspeed` is not installed"),
        ({"distill": {"teacher": "models/t", "on_policy": True}}, "`trl` is not installed"),
    ],
)
def test_a_package_that_is_not_there_is_named_with_the_line_that_installs_it(
    changed: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "find_spec", lambda name: None)
    assert said in "\n".join(missing(changed))


def test_compilers_are_looked_for_where_something_is_compiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "find_spec", lambda name: object())
    monkeypatch.setenv("PATH", str(tmp_path))
    assert missing({}) == []
    assert "g++" in missing({"memory": {"compile": True}})[0]
    assert missing({"strategy": {"type": "zero1", "processes": 2}}) == []

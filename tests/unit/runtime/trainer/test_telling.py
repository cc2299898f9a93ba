from __future__ import annotations

from typing import Any

import pytest

from mlctl.runtime.trainer.telling import share_of, tell


class Recorder:
    def __init__(self) -> None:
        self.taken: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return lambda line: self.taken.append(name)


class Report:
    def __init__(self) -> None:
        self.said: list[tuple[Any, ...]] = []

    def progress(self, message: str, *position: Any, **figures: float) -> None:
        self.said.append((message, position[:2], figures))


def told(line: dict[str, Any]) -> tuple[list[str], list[tuple[Any, ...]]]:
    recorder, report = Recorder(), Report()
    tell(line, recorder, report)  # type: ignore[arg-type]
    return recorder.taken, report.said


def test_the_trained_share_is_said_before_the_first_step() -> None:
    assert told({"type": "held", "trainable": 2_442_240, "total": 136_957_248, "ranks": []}) == (
        ["held"],
        [("trains 2.44 M of 137 M parameters (1.78 %)", (), {})],
    )
    assert share_of(65, 65) == "trains all 65 parameters"


def test_of_text_the_speed_is_in_tokens() -> None:
    line = {"type": "step", "epoch": 2, "step": 5, "total": 9, "loss": 1.5, "lr": 0.1, "rows_per_second": 3.0}
    assert told(line) == (["step"], [("epoch 2", (5, 9), {"loss": 1.5, "rows_per_second": 3.0})])
    assert told({**line, "tokens_per_second": 70.0, "mfu": 0.4})[1] == [
        ("epoch 2", (5, 9), {"loss": 1.5, "tokens_per_second": 70.0, "mfu": 0.4})
    ]


@pytest.mark.parametrize(
    ("line", "taken", "said"),
    [
        ({"type": "saved", "step": 5, "total": 9}, [], "saved a checkpoint"),
        ({"type": "resumed", "step": 5, "total": 9}, [], "going on from a checkpoint"),
        ({"type": "placed", "what": "job 7 waits for a place"}, [], "job 7 waits for a place"),
        (
            {"type": "restarted", "why": "rank 1 was ended by SIGKILL", "left": 2},
            [],
            "rank 1 was ended by SIGKILL; starting the ranks again (2 more tries)",
        ),
        ({"type": "epoch", "epoch": 1, "step": 5, "total": 9, "val_loss": None}, ["epoch"], "epoch 1 done"),
    ],
)
def test_each_kind_of_line_is_handed_on(line: dict[str, Any], taken: list[str], said: str) -> None:
    found = told(line)
    assert (found[0], found[1][0][0]) == (taken, said)


def test_a_line_of_a_newer_kind_is_left_alone() -> None:
    assert told({"type": "weather", "step": 1}) == ([], [])

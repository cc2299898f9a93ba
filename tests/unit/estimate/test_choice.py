"""What `strategy: auto` comes to, and what is said to whom nothing fits."""

from typing import Any

import pytest

from mlctl.estimate import fit
from mlctl.estimate.choice import choose
from mlctl.estimate.devices import GIB, Device, named
from mlctl.estimate.fit import Fit
from mlctl.estimate.setup import Setup
from mlctl.estimate.shapes import DenseShape, Shape
from tests.unit.estimate.models import LLAMA3_8B, LLAMA_70B, SMOLLM2_135M


def setup(device: str, shape: Shape = LLAMA3_8B, **more: Any) -> Setup:
    found = named(device)
    assert found is not None
    values = {"batch": 8, "micro": 1, "length": 2048, "precision": "bf16", "engine": "hf", "checkpointing": True}
    return Setup(shape, found, **{**values, **more})


@pytest.mark.parametrize(
    ("device", "more", "engine", "strategy"),
    [
        ("H100", {"shape": SMOLLM2_135M}, "hf", "single"),
        ("H100:8", {"shape": SMOLLM2_135M}, "hf", "ddp"),
        ("H100:8", {}, "hf", "zero2"),
        ("L40S:8", {}, "hf", "zero3"),
        ("H100:8", {}, "torch", "fsdp"),
        ("H100:8", {"method": "lora"}, "hf", "ddp"),
        ("L4:4", {"method": "lora"}, "hf", "zero3"),
        ("L4:4", {"method": "qlora", "quantization": "nf4"}, "hf", "ddp"),
        ("cpu:4:16GiB", {"shape": SMOLLM2_135M, "length": 128, "batch": 4}, "hf", "single"),
    ],
)
def test_the_first_that_surely_fits_is_chosen(device: str, more: dict[str, Any], engine: str, strategy: str) -> None:
    asked = setup(device, **more)
    processes = 1 if asked.device.host else asked.device.count
    found = choose(asked, processes, engine=engine)
    assert (found.setup.strategy, found.fit) == (strategy, Fit.FITS)
    assert found.setup.processes == processes
    assert found.why.startswith(f"{strategy}: takes ")


def test_what_was_passed_over_is_named_with_what_it_would_take() -> None:
    assert "; ddp would take 1" in choose(setup("H100:8"), 8, engine="hf").why


def test_of_those_that_only_may_fit_the_safest_is_chosen() -> None:
    found = choose(setup("A100:8"), 8, engine="hf")
    assert (found.setup.strategy, found.fit) == ("zero3", Fit.MAY)
    assert ", perhaps 38" in found.why


def test_where_nothing_fits_the_nearest_is_named() -> None:
    found = choose(setup("T4:2", shape=LLAMA_70B), 2, engine="hf")
    assert found.fit is Fit.NEVER
    assert "zero3 needs least, and still" in found.why


def test_a_perceptron_is_never_given_to_deepspeed() -> None:
    found = choose(setup("H100:8", shape=DenseShape(10, (64,))), 8)
    assert found.setup.strategy == "ddp"


def test_layers_are_cut_only_as_heads_allow_and_the_rest_of_the_spec() -> None:
    asked = setup("L4:4", shape=SMOLLM2_135M, engine="torch")
    tried: list[str] = []
    found = choose(asked, 4, engine="torch", able=lambda item: tried.append(item.strategy) or item.strategy == "fsdp")  # type: ignore[func-returns-value]
    assert tried == ["ddp", "fsdp"]  # 9 heads
    assert found.setup.strategy == "fsdp"
    with pytest.raises(ValueError, match="no strategy goes"):
        choose(asked, 4, engine="torch", able=lambda _: False)


def test_levers_come_biggest_first_and_say_what_they_bring() -> None:
    asked = setup("L4", checkpointing=False, precision="fp32", micro=None)
    found = fit.levers(asked)
    assert [item.needed.mid for item in found] == sorted(item.needed.mid for item in found)
    changes = {item.change for item in found}
    assert {
        "micro_batch_size: 1",
        "memory: {gradient_checkpointing: true}",
        "method: {type: qlora}",
        "precision: bf16",
    } <= changes


def test_levers_add_up_until_it_fits() -> None:
    asked = setup("L4", checkpointing=False, precision="fp32", micro=None)
    steps = fit.together(asked)
    assert len(steps) > 1
    assert steps[-1].fit is Fit.FITS
    assert not any(item.fit is Fit.FITS for item in steps[:-1])


def test_only_what_cannot_be_is_refused_and_only_what_has_room_fits() -> None:
    from mlctl.types.estimate import Range

    assert fit.verdict(Range(10, 20, 30), 9) is Fit.NEVER
    assert fit.verdict(Range(10, 20, 30), 10) is Fit.MAY
    assert fit.verdict(Range(10, 20, 30), 32) is Fit.MAY
    assert fit.verdict(Range(10, 20, 30), 33) is Fit.FITS


def test_the_pieces_are_told_largest_first() -> None:
    assert fit.pieces(setup("H100")).startswith("optimizer ")
    assert fit.pieces(Setup(DenseShape(3, (4,)), Device("cpu", 1, GIB, host=True), batch=8)).startswith("runtime ")

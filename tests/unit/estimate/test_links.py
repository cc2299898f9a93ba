"""What trainings over several devices exchange, over which links, and what that does to their time."""

from dataclasses import replace
from typing import Any

import pytest

from mlctl.estimate import links, time
from mlctl.estimate.devices import GIB, Device, named
from mlctl.estimate.links import ALONE, Exchange, exchange, link_sheet
from mlctl.estimate.setup import Setup
from mlctl.estimate.shapes import DenseShape, LanguageShape
from mlctl.estimate.time import Work
from mlctl.types.estimate import Range
from tests.unit.estimate.models import LLAMA3_8B, LLAMA_7B, SMOLLM2_135M

STEPS = 100
CPU = Device("cpu", 4, 24 * GIB, host=True)


def on(gpu: str, shape: LanguageShape = LLAMA3_8B, **more: Any) -> Setup:
    device = named(gpu)
    assert device is not None
    return Setup(shape, device, **{"batch": 8, "length": 2048, "precision": "bf16", "engine": "hf", **more})


def spread(gpu: str, strategy: str, ranks: int = 8, **more: Any) -> Setup:
    return on(f"{gpu}:{ranks}", strategy=strategy, data=ranks, **more)


def exchanged(setup: Setup) -> Exchange:
    return exchange(setup, Range.exactly(STEPS * setup.batch * setup.length), STEPS)


def step(setup: Setup) -> Range:
    found = time.seconds(setup, Work(Range.exactly(STEPS * setup.batch * setup.length), STEPS))
    return found * (1 / STEPS)


def reason(setup: Setup) -> str:
    return time.reason(setup, Work(Range.exactly(STEPS * setup.batch * setup.length), STEPS))


@pytest.mark.parametrize(
    ("gpu", "count", "gigabytes"),
    [
        ("A100-80GB", 8, 300), ("A100-PCIE-80GB", 8, 32), ("H100", 2, 450), ("H100-PCIE", 2, 64), ("L40S", 8, 32), ("T4", 4, 16),
        ("H100-NVL", 2, 300), ("H100-NVL", 4, 64), ("H200-NVL", 4, 450), ("H200-NVL", 8, 64), ("B300", 8, 900),
        ("MI300X", 2, 64), ("MI300X", 8, 448),
    ],
)  # fmt: skip
def test_devices_are_joined_by_what_their_sheet_says(gpu: str, count: int, gigabytes: float) -> None:
    device = named(f"{gpu}:{count}")
    assert device is not None
    assert link_sheet(device, count) == pytest.approx(gigabytes * 1e9)


def test_one_device_exchanges_nothing() -> None:
    assert exchanged(on("L40S")) is ALONE
    assert exchanged(Setup(SMOLLM2_135M, CPU, batch=8, length=64, offload=("optimizer",))) is ALONE


def test_what_strategies_exchange_is_counted_in_weights() -> None:
    # 8B in 16 bits, one part of a batch: gradients go around twice; weights are fetched forward and back, gradients once
    seconds = {name: exchanged(spread("A100-80GB", name)).beside.mid / STEPS for name in ("zero1", "zero2", "zero3")}
    once = LLAMA3_8B.parameters * 2 * 7 / 8 / (0.7 * 300e9)
    assert seconds == pytest.approx({"zero1": 2 * once, "zero2": 2 * once, "zero3": 3 * once}, rel=1e-6)
    # these two keep and exchange 32 bits
    assert exchanged(spread("A100-80GB", "ddp")).beside.mid / STEPS == pytest.approx(4 * once, rel=1e-6)
    assert exchanged(spread("A100-80GB", "fsdp")).beside.mid / STEPS == pytest.approx(6 * once, rel=1e-6)


def test_parts_of_a_batch_exchange_again_where_gradients_or_weights_are_not_kept() -> None:
    one, four = 8, 32
    for name, times in {"ddp": 1, "zero1": 1, "zero2": 2.5, "zero3": 4, "fsdp": 4}.items():
        whole, parts = (exchanged(spread("H100", name, batch=rows, micro=1)).beside.mid for rows in (one, four))
        assert parts == pytest.approx(times * whole), name


def test_adapters_exchange_their_own_gradients_alone() -> None:
    full, lora = (exchanged(spread("L40S", "ddp", method=method)).beside.mid for method in ("full", "lora"))
    assert lora < full / 300
    shared = exchanged(spread("L40S", "zero3", method="lora")).beside.mid
    assert shared == pytest.approx(exchanged(spread("L40S", "zero3")).beside.mid * 2 / 3, rel=0.01)


def test_tensors_add_up_activations_in_each_layer_and_wait_for_them() -> None:
    setup = on("H100:4", strategy="tensor", tensor=4, engine="torch")
    found = exchanged(setup)
    each = 32 * 4 * 2 * 3 / 4 * 4096 * 2  # layers, sums, twice around, without its own part, values of 16 bits
    assert found.beside.high == 0
    assert found.apart.mid / STEPS == pytest.approx(8 * 2048 * each / (0.7 * 450e9), rel=1e-6)
    assert exchanged(replace(setup, checkpointing=True)).apart.mid == pytest.approx(1.5 * found.apart.mid)


def test_a_pipeline_hands_on_little_and_waits_while_it_fills() -> None:
    setup = on("L40S:4", strategy="pipeline", pipeline=4, microbatches=4, engine="torch")
    assert exchanged(setup).apart.mid < 0.05 * step(setup).mid * STEPS
    assert time.utilisation(setup).mid == pytest.approx(
        time.utilisation(replace(setup, microbatches=400)).mid * 4 / 7, rel=0.01
    )


def test_a_shared_model_on_pcie_is_slower_than_its_arithmetic_and_the_links_are_told() -> None:
    # by their sheets eight L40S do 16 % more than eight A100
    cards, joined = (spread(gpu, "zero3", checkpointing=True) for gpu in ("L40S", "A100-80GB"))
    assert cards.device.peak > joined.device.peak
    assert step(cards).mid > 2 * step(joined).mid
    assert reason(cards).startswith("the links decide (")
    assert reason(cards).endswith("of the time): 8 L40S exchange by PCIe")
    assert reason(joined) == ""
    # where nothing is shared they keep what they can do
    alone = [step(on(gpu, method="lora")).mid for gpu in ("L40S", "A100-80GB")]
    assert alone[0] < 1.1 * alone[1]


def test_more_tokens_for_each_exchange_make_the_links_matter_less() -> None:
    few, many = spread("L40S", "zero3"), spread("L40S", "zero3", batch=64)
    assert step(many).mid < 4 * step(few).mid
    assert reason(few)
    assert not reason(many)


def test_between_machines_the_slower_way_decides() -> None:
    inside, outside = (spread("H100", "zero3", hosts=hosts) for hosts in (1, 2))
    assert exchanged(outside).beside.mid > 2 * exchanged(inside).beside.mid
    assert step(outside).high > step(inside).high
    assert "between machines" in reason(spread("L40S", "ddp", ranks=16, batch=16))
    # over sixteen there are two machines, whatever anybody says
    assert exchanged(spread("H100", "ddp", ranks=16, batch=16)).beside.high == pytest.approx(
        exchanged(spread("H100", "ddp", ranks=16, batch=16, hosts=2)).beside.high
    )
    # tensors of one machine stay on its links, and its groups share the way out
    grid = on("H100:16", strategy="3d", data=2, tensor=8, engine="torch", batch=16)
    assert exchanged(grid).apart.mid == pytest.approx(
        exchanged(on("H100:8", strategy="tensor", tensor=8, engine="torch", batch=8)).apart.mid
    )


def test_boards_that_are_each_in_a_machine_of_their_own_are_never_joined() -> None:
    device = named("GH200:2")
    assert device is not None
    assert device.machines == 2
    assert "between machines" in reason(spread("GH200", "zero3", ranks=2, batch=2))


def test_a_bridge_joins_no_more_boards_than_it_has_room_for() -> None:
    pair, four = (exchanged(spread("H100-NVL", "zero3", ranks=count)).beside.mid for count in (2, 4))
    assert four > 8 * pair


def test_processes_of_a_cpu_exchange_through_their_machine_or_the_network() -> None:
    near = Setup(SMOLLM2_135M, CPU, batch=8, length=64, strategy="ddp", data=2)
    far = replace(near, hosts=2)
    assert 0.05 < exchanged(near).beside.mid / STEPS < 3
    assert exchanged(far).beside.mid > exchanged(near).beside.mid
    tiny = Setup(DenseShape(10, (8,)), CPU, batch=8, strategy="ddp", data=2)
    assert exchanged(tiny).beside.high / STEPS < 1e-4


def test_what_is_hidden_is_all_that_can_be_at_the_least_and_nothing_at_the_most() -> None:
    found = Exchange(Range(1.0, 2.0, 4.0), part=0.5, hidden=0.5, apart=Range(0.1, 0.1, 0.1))
    assert found.over(Range(4.0, 8.0, 16.0)).to_json() == Range(4.1, 9.1, 20.1).to_json()
    assert found.over(Range(1.0, 1.0, 1.0)).to_json() == Range(1.6, 2.6, 5.1).to_json()


def test_an_optimizer_in_the_machine_s_memory_takes_its_processors() -> None:
    kept, away = (spread("A100-80GB", "zero2", batch=64, micro=1, offload=item) for item in ((), ("optimizer",)))
    assert step(away).mid - step(kept).mid > LLAMA3_8B.parameters / 0.5e9
    assert reason(away).startswith("what is kept in the machine's memory decides (")
    # two machines have twice the processors
    two = replace(away, hosts=2)
    assert step(two).mid - step(replace(kept, hosts=2)).mid < 0.6 * (step(away).mid - step(kept).mid)


@pytest.mark.parametrize("what", ["parameters", "activations"])
def test_what_is_fetched_as_it_goes_takes_the_slot(what: str) -> None:
    setup = spread("A100-80GB", "zero3", checkpointing=True)
    away = replace(setup, offload=(what,))
    assert exchanged(away).away > 0
    assert step(away).mid > step(setup).mid
    faster = replace(away, device=replace(away.device, slot=64e9))
    assert step(faster).mid < step(away).mid


def test_a_sheet_that_is_not_known_is_taken_to_be_pcie_of_the_usual_kind() -> None:
    unknown = replace(spread("L40S", "zero3").device, slot=0.0)
    assert link_sheet(unknown, 8) == 32e9


def test_every_board_has_a_slot_and_no_link_is_slower_than_it() -> None:
    assert links.link_sheet(Device("some", 2, 1e9), 2) > 0
    for name in ("V100", "A100", "H100", "H200", "B200", "B300", "MI300X", "MI325X", "H100-NVL", "H200-NVL"):
        device = named(name)
        assert device is not None
        assert device.link > device.slot > 0


def test_a_pair_of_7b_rates_on_pcie_and_nvlink_is_foretold() -> None:
    # InternLM, issue 22: 7B by ZeRO-1, four parts of 4,096 tokens on each of eight A100, 2,231 tokens a second and device by PCIe
    setup = spread("A100-PCIE-80GB", "zero1", shape=LLAMA_7B, batch=64, micro=2)
    assert step(setup).mid == pytest.approx(16_384 / 2231, rel=0.15)
    by_nvlink = step(replace(setup, device=spread("A100-80GB", "zero1").device))
    assert by_nvlink.low < 16_384 / 4233 < by_nvlink.high
    assert step(setup).mid > 1.3 * by_nvlink.mid  # 1.9 was measured

"""What must hold of estimates whatever is asked: more never takes less, and what is shared is never more."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from mlctl.estimate import fit, memory, time, transfer
from mlctl.estimate.devices import GIB, Device, named
from mlctl.estimate.setup import ZERO, Setup
from mlctl.estimate.shapes import DenseShape, LanguageShape, from_config
from mlctl.estimate.spot import daly, expected, useful
from mlctl.estimate.time import Work
from mlctl.types.estimate import Range

GPU = named("A100-80GB:64")
OTHER_GPU = named("MI300X:8")
CPU = Device("cpu", 4, 64 * GIB, host=True)
assert GPU is not None
assert OTHER_GPU is not None


@st.composite
def shapes(draw: st.DrawFn) -> LanguageShape:
    heads = draw(st.sampled_from([2, 4, 8, 16]))
    return from_config(
        {
            "model_type": draw(st.sampled_from(["llama", "qwen2", "qwen3", "gemma2", "phi3"])),
            "hidden_size": heads * draw(st.sampled_from([16, 64, 128])),
            "num_hidden_layers": draw(st.integers(1, 80)),
            "num_attention_heads": heads,
            "num_key_value_heads": draw(st.sampled_from([1, 2])),
            "intermediate_size": draw(st.integers(32, 30_000)),
            "vocab_size": draw(st.integers(100, 200_000)),
            "tie_word_embeddings": draw(st.booleans()),
        }
    )


@st.composite
def setups(draw: st.DrawFn) -> Setup:
    method = draw(st.sampled_from(["full", "lora", "dora", "qlora", "galore"]))
    strategies = {
        "full": ["single", "ddp", "zero1", "zero2", "zero3", "fsdp", "tensor", "pipeline", "3d"],
        "lora": ["single", "ddp", "zero2", "zero3"],
    }
    strategy = draw(st.sampled_from(strategies.get(method, ["single", "ddp"])))
    data = 1 if strategy in ("single", "tensor", "pipeline") else draw(st.sampled_from([2, 4, 8]))
    stages = draw(st.sampled_from([2, 4])) if strategy == "pipeline" else 1
    away = st.lists(st.sampled_from(["activations", "optimizer", "parameters"]), unique=True)
    return Setup(
        draw(shapes()),
        draw(st.sampled_from([GPU, OTHER_GPU, CPU])),
        batch=draw(st.integers(1, 16)) * data,
        micro=draw(st.none() | st.integers(1, 8)),
        length=draw(st.integers(8, 8192)),
        engine="torch" if strategy in ("fsdp", "tensor", "pipeline", "3d") else draw(st.sampled_from(["hf", "torch"])),
        method=method,
        rank=draw(st.integers(1, 64)),
        target=draw(st.sampled_from([None, ("q_proj", "v_proj")])),
        quantization=draw(st.sampled_from(["nf4", "int8"])) if method == "qlora" else None,
        strategy=strategy,
        data=data,
        tensor=2 if strategy in ("tensor", "3d") else 1,
        pipeline=stages,
        microbatches=draw(st.integers(1, 4)) if stages > 1 else 1,
        precision=draw(st.sampled_from(["fp32", "bf16", "fp16"])),
        optimizer=draw(st.sampled_from(["adamw", "sgd", "adafactor", "adamw_8bit"])),
        momentum=draw(st.booleans()),
        checkpointing=draw(st.booleans()),
        offload=tuple(draw(away)),
        teacher=draw(st.none() | shapes()),
        sure=draw(st.floats(0.001, 1.0)),
        compiled=draw(st.booleans()),
    )  # fmt: skip


def ordered(found: Range) -> None:
    assert 0 <= found.low <= found.mid <= found.high < float("inf")


def never_less(small: Range, large: Range) -> None:
    assert small.low <= large.low * (1 + 1e-9)
    assert small.mid <= large.mid * (1 + 1e-9)
    assert small.high <= large.high * (1 + 1e-9)


@given(setups())
def test_more_layers_rows_or_tokens_never_take_less_memory(setup: Setup) -> None:
    now = memory.peak(setup)
    shape = setup.shape
    assert isinstance(shape, LanguageShape)
    never_less(now, memory.peak(replace(setup, shape=replace(shape, layers=shape.layers + setup.pipeline))))
    never_less(now, memory.peak(replace(setup, shape=replace(shape, tables=shape.tables + 64 * shape.hidden))))
    never_less(now, memory.peak(replace(setup, batch=setup.batch + setup.data)))
    never_less(now, memory.peak(replace(setup, length=setup.length + 8)))


@given(setups())
def test_the_parts_are_the_whole_and_no_part_is_less_than_nothing(setup: Setup) -> None:
    parts = memory.parts(setup)
    assert all(0 <= item.low <= item.mid <= item.high for item in parts.values())
    assert memory.peak(setup).low >= sum(item.low for item in parts.values()) * setup.together * (1 - 1e-9)


@given(shapes(), st.sampled_from([2, 4, 8]), st.integers(1, 8), st.sampled_from(["bf16", "fp32"]))
def test_more_sharding_never_needs_more_of_a_gpu(shape: LanguageShape, ranks: int, rows: int, precision: str) -> None:
    setup = Setup(
        shape, GPU, batch=rows * ranks, length=512, engine="hf", data=ranks, strategy="ddp", precision=precision
    )
    needed = [memory.peak(replace(setup, strategy=name)).low for name in ("ddp", "zero1", "zero2", "zero3")]
    states = [sum(memory.parts(replace(setup, strategy=name))[part].low for part in ("weights", "gradients", "optimizer"))
              for name in ("ddp", "zero1", "zero2", "zero3")]  # fmt: skip
    assert needed[:3] == sorted(needed[:3], reverse=True)
    assert states == sorted(states, reverse=True)
    for name in ("ddp", "zero1", "zero2", "zero3", "fsdp"):
        spread = replace(setup, strategy=name, engine="torch" if name == "fsdp" else "hf")
        never_less(memory.peak(replace(spread, data=2 * ranks, batch=2 * setup.batch)), memory.peak(spread))


@given(setups(), st.sampled_from([("optimizer",), ("optimizer", "parameters")]))
def test_what_is_kept_elsewhere_never_takes_more_of_a_device(setup: Setup, away: tuple[str, ...]) -> None:
    if setup.strategy in (*ZERO, "fsdp"):
        never_less(memory.peak(replace(setup, offload=away)), memory.peak(replace(setup, offload=())))


@given(setups())
def test_recomputing_and_smaller_micro_batches_never_take_more(setup: Setup) -> None:
    never_less(memory.peak(replace(setup, micro=1)), memory.peak(setup))
    shape = setup.shape
    assert isinstance(shape, LanguageShape)
    if shape.layers // setup.pipeline > 2 and not setup.checkpointing:
        never_less(memory.peak(replace(setup, checkpointing=True)), memory.peak(setup))


@given(setups(), st.integers(1, 100))
def test_whatever_is_asked_has_an_answer_of_low_likely_and_high(setup: Setup, keep: int) -> None:
    ordered(memory.peak(setup))
    ordered(time.start(setup))
    ordered(time.seconds(setup, Work(Range(1.0, 2.0, 3.0), keep, packed=False, validated=0.5)))
    ordered(transfer.disk_bytes(setup, keep, best=True))
    ordered(transfer.checkpoint_seconds(setup))
    share = time.utilisation(setup)
    ordered(share)
    assert share.high <= (1.0 if setup.device.host else time.MOST)
    assert transfer.disk_bytes(setup, keep).mid >= transfer.model_bytes(setup).mid
    assert fit.pieces(setup)


@given(
    st.integers(1, 200), st.lists(st.integers(1, 4096), max_size=4), st.integers(1, 10**6), st.sampled_from([1, 2, 4])
)
def test_a_table_has_an_answer_too_and_a_wider_model_takes_more(
    features: int, hidden: list[int], rows: int, ranks: int
) -> None:
    setup = Setup(
        DenseShape(features, tuple(hidden)), CPU, batch=rows, data=ranks, strategy="ddp" if ranks > 1 else "single"
    )
    wider = replace(setup, shape=DenseShape(features + 1, tuple(hidden)))
    never_less(memory.peak(setup), memory.peak(wider))
    never_less(time.seconds(setup, Work(Range.exactly(rows), 1)), time.seconds(wider, Work(Range.exactly(rows), 1)))


@given(st.floats(0.01, 1e5), st.floats(1.0, 1e7), st.floats(0, 1e5))
def test_the_useful_share_of_spot_devices_is_a_share(checkpoint: float, mean_up: float, restart: float) -> None:
    best = daly(checkpoint, mean_up)
    assert best > 0
    assert 0 <= useful(checkpoint, best, mean_up, restart) < 1
    assert useful(checkpoint, best, mean_up, restart) <= useful(checkpoint, best, mean_up * 2, restart) + 1e-12


@given(st.floats(1.0, 1e7), st.floats(0.01, 1e4), st.floats(0.01, 1e4), st.integers(1, 512))
def test_spot_never_costs_less_than_its_hours(seconds: float, usd: float, checkpoint: float, nodes: int) -> None:
    work, price = Range(seconds, seconds * 2, seconds * 3), Range(usd, usd * 1.5, usd * 2)
    found = expected(work, price, checkpoint_seconds=checkpoint, nodes=nodes)
    for item in (found.cost, found.elapsed, found.useful):
        ordered(item)
    assert found.cost.low >= work.low / 3600 * price.low
    assert found.elapsed.low >= work.low
    never_less(
        found.cost, expected(work, price, checkpoint_seconds=checkpoint, nodes=nodes + 1, every=found.interval).cost
    )


@given(setups(), st.floats(1e3, 1e9), st.integers(1, 100_000))
def test_more_to_learn_never_takes_less_time(setup: Setup, tokens: float, steps: int) -> None:
    now = time.seconds(setup, Work(Range.exactly(tokens), steps))
    never_less(now, time.seconds(setup, Work(Range.exactly(tokens * 2), steps)))
    never_less(now, time.seconds(setup, Work(Range.exactly(tokens), steps + 1)))
    assert now.low > 0


@given(setups(), st.floats(1.0, 8.0), st.sampled_from(["link", "slot"]))
def test_a_faster_link_never_makes_a_training_slower(setup: Setup, times: float, which: str) -> None:
    device = setup.device
    faster = replace(device, link=device.link * times) if which == "link" else replace(device, slot=device.slot * times)
    work = Work(Range.exactly(1e6), 10, validated=0.1)
    never_less(time.seconds(replace(setup, device=faster), work), time.seconds(setup, work))


@given(
    setups(),
    st.sampled_from(["ddp", "zero1", "zero2", "zero3", "fsdp"]),
    st.sampled_from(["A100-80GB", "H100-NVL", "L40S", "T4", "GH200"]),
    st.integers(0, 5),
)
def test_more_devices_never_cost_less_device_hours(setup: Setup, strategy: str, gpu: str, power: int) -> None:
    # each goes through as many rows at once; what is kept away is left out, since two machines update it with twice the processors
    count, rows = 2**power, 2
    device = named(f"{gpu}:{2 * count}")
    assert device is not None
    spread = replace(setup, device=device, strategy=strategy, tensor=1, pipeline=1, microbatches=1, micro=rows)
    spread = replace(spread, batch=64 * rows, data=2 * count, offload=())
    fewer = replace(spread, device=replace(device, count=count), data=count)
    if count == 1:
        fewer = replace(fewer, strategy="single")
    work = Work(Range.exactly(1e7), 100)
    assert time.seconds(spread, work).mid * 2 * count >= time.seconds(fewer, work).mid * count * (1 - 1e-9)


@given(setups())
def test_hosts_that_share_a_training_never_make_it_faster_than_one_with_as_many_devices(setup: Setup) -> None:
    if setup.device.host or setup.offload or setup.processes % 2:
        return
    work = Work(Range.exactly(1e6), 10)
    near, far = (time.seconds(replace(setup, hosts=hosts), work) for hosts in (1, 2))
    assert near.mid <= far.mid * (1 + 1e-9)
    assert near.high <= far.high * (1 + 1e-9)


@given(setups())
def test_a_lever_that_is_named_helps(setup: Setup) -> None:
    before = memory.peak(setup).mid
    assert all(item.needed.mid < before for item in fit.levers(setup))

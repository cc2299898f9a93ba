"""What must hold of estimates whatever is asked: more never takes less, and what is shared is never more."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from mlctl.estimate import fit, memory, time
from mlctl.estimate.devices import GIB, Device, named
from mlctl.estimate.setup import Setup
from mlctl.estimate.shapes import LanguageShape, from_config
from mlctl.estimate.time import Work
from mlctl.types.estimate import Range

GPU = named("A100-80GB:64")
CPU = Device("cpu", 4, 64 * GIB, host=True)
assert GPU is not None


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
        "full": ["single", "ddp", "zero1", "zero2", "zero3", "fsdp", "tensor", "3d"],
        "lora": ["single", "ddp", "zero2", "zero3"],
    }
    strategy = draw(st.sampled_from(strategies.get(method, ["single", "ddp"])))
    data = 1 if strategy in ("single", "tensor") else draw(st.sampled_from([2, 4, 8]))
    return Setup(
        draw(shapes()),
        draw(st.sampled_from([GPU, CPU])),
        batch=draw(st.integers(1, 16)) * data,
        micro=draw(st.none() | st.integers(1, 8)),
        length=draw(st.integers(8, 8192)),
        engine="torch" if strategy in ("fsdp", "tensor", "3d") else draw(st.sampled_from(["hf", "torch"])),
        method=method,
        rank=draw(st.integers(1, 64)),
        quantization="nf4" if method == "qlora" else None,
        strategy=strategy,
        data=data,
        tensor=2 if strategy in ("tensor", "3d") else 1,
        precision=draw(st.sampled_from(["fp32", "bf16", "fp16"])),
        optimizer=draw(st.sampled_from(["adamw", "sgd", "adafactor", "adamw_8bit"])),
        checkpointing=draw(st.booleans()),
    )  # fmt: skip


def never_less(small: Range, large: Range) -> None:
    assert small.low <= large.low * (1 + 1e-9)
    assert small.mid <= large.mid * (1 + 1e-9)
    assert small.high <= large.high * (1 + 1e-9)


@given(setups())
def test_more_layers_rows_or_tokens_never_take_less_memory(setup: Setup) -> None:
    now = memory.peak(setup)
    shape = setup.shape
    assert isinstance(shape, LanguageShape)
    never_less(now, memory.peak(replace(setup, shape=replace(shape, layers=shape.layers + 1))))
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
    for name in ("zero3", "fsdp"):
        spread = replace(setup, strategy=name, engine="torch" if name == "fsdp" else "hf")
        twice = replace(spread, data=2 * ranks, batch=2 * setup.batch)
        assert memory.peak(twice).low <= memory.peak(spread).low * (1 + 1e-9)


@given(setups())
def test_recomputing_and_smaller_micro_batches_never_take_more(setup: Setup) -> None:
    never_less(memory.peak(replace(setup, micro=1)), memory.peak(setup))
    shape = setup.shape
    assert isinstance(shape, LanguageShape)
    if shape.layers > 2 and not setup.checkpointing:
        assert memory.peak(replace(setup, checkpointing=True)).mid <= memory.peak(setup).mid * (1 + 1e-9)


@given(setups(), st.floats(1e3, 1e9), st.integers(1, 100_000))
def test_more_to_learn_never_takes_less_time(setup: Setup, tokens: float, steps: int) -> None:
    now = time.seconds(setup, Work(Range.exactly(tokens), steps))
    never_less(now, time.seconds(setup, Work(Range.exactly(tokens * 2), steps)))
    never_less(now, time.seconds(setup, Work(Range.exactly(tokens), steps + 1)))
    assert now.low > 0


@given(setups())
def test_a_lever_that_is_named_helps(setup: Setup) -> None:
    before = memory.peak(setup).mid
    assert all(item.needed.mid < before for item in fit.levers(setup))

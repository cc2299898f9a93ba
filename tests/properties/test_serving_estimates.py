"""What must hold of serving whatever is asked: more never takes less, and what is shared is never more."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from mlctl.estimate import decode, serving
from mlctl.estimate.decode import Traffic
from mlctl.estimate.devices import NAMED
from mlctl.estimate.fit import Fit
from mlctl.estimate.kv import keys_of
from mlctl.estimate.serving import WEIGHTS, Service
from mlctl.estimate.shapes import from_config
from mlctl.types.estimate import Range

ORDER = {Fit.NEVER: 0, Fit.MAY: 1, Fit.FITS: 2}


@st.composite
def services(draw: st.DrawFn) -> Service:
    heads = draw(st.sampled_from([8, 16, 32, 64]))
    config = {
        "model_type": draw(st.sampled_from(["llama", "mistral", "qwen3", "gemma2", "gemma3_text", "phi3"])),
        "hidden_size": heads * draw(st.sampled_from([64, 128])), "num_hidden_layers": draw(st.integers(2, 100)),
        "num_attention_heads": heads, "num_key_value_heads": draw(st.sampled_from([1, 2, 4, 8])),
        "intermediate_size": draw(st.integers(64, 40_000)), "vocab_size": draw(st.integers(100, 300_000)),
        "tie_word_embeddings": draw(st.booleans()), "sliding_window": draw(st.sampled_from([None, 512, 4096])),
    }  # fmt: skip
    shape = from_config(config)
    return Service(
        shape, keys_of(shape, config), draw(st.sampled_from([replace(item, count=8) for item in NAMED.values()])),
        length=draw(st.integers(16, 200_000)), engine=draw(st.sampled_from(["vllm", "sglang", "tgi", "triton"])),
        weights=draw(st.sampled_from(sorted(WEIGHTS))), key_width=draw(st.sampled_from([1.0, 2.0])),
        tensor=draw(st.sampled_from([1, 2, 4, 8])), share=draw(st.none() | st.floats(0.1, 1.0)),
        running=draw(st.none() | st.integers(1, 1024)), slots=draw(st.integers(0, 8)), rank=16,
    )  # fmt: skip


def no_less(left: Range, right: Range) -> bool:
    return all(
        after >= before * (1 - 1e-9) for before, after in
        ((left.low, right.low), (left.mid, right.mid), (left.high, right.high))
    )  # fmt: skip


@given(services(), st.integers(1, 100_000))
def test_a_longer_request_never_needs_less(service: Service, more: int) -> None:
    longer = replace(service, length=service.length + more)
    assert serving.request_bytes(longer) >= serving.request_bytes(service)
    assert no_less(serving.needed(service), serving.needed(longer))
    assert ORDER[serving.starts(longer)] <= ORDER[serving.starts(service)]


@given(services(), st.integers(1, 1000))
def test_more_requests_never_need_less(service: Service, more: int) -> None:
    asked = replace(service, running=service.most + more)
    assert no_less(serving.needed(service, 1), serving.needed(service, 1 + more))
    assert no_less(asked.room, service.room)


@given(services(), st.sampled_from([2, 4]))
def test_more_devices_in_parallel_never_need_more_of_each(service: Service, times: int) -> None:
    wider = replace(service, tensor=service.tensor * times)
    assert no_less(serving.needed(wider), serving.needed(service))
    assert no_less(service.room, wider.room)
    if not serving.unshared(wider.shape, wider.tensor):
        assert ORDER[serving.starts(wider)] >= ORDER[serving.starts(service)]


@given(services(), st.integers(1, 64))
def test_adapters_never_give_room(service: Service, more: int) -> None:
    assert no_less(replace(service, slots=service.slots + more).room, service.room)


@given(services())
def test_a_way_out_is_never_worse_than_what_was_asked(service: Service) -> None:
    if serving.starts(service) is Fit.NEVER:
        assert all(serving.starts(way.service) is not Fit.NEVER for way in serving.ways(service))


@given(services(), st.integers(1, 256), st.integers(1, 30_000), st.integers(1, 5000), st.integers(1, 5000))
def test_more_to_read_or_more_requests_are_never_answered_faster(
    service: Service, requests: int, prompt: int, answer: int, more: int
) -> None:
    traffic = Traffic(requests, prompt, answer)
    found, busier = decode.tpot(service, traffic), decode.tpot(service, traffic._replace(requests=requests + more))
    longer = decode.tpot(service, traffic._replace(prompt=prompt + more, requests=1))
    alone = decode.tpot(service, traffic._replace(requests=1))
    first, later = decode.ttft(service, prompt), decode.ttft(service, prompt + more)
    assert found is not None and busier is not None and longer is not None and alone is not None  # noqa: PT018
    assert found.low <= found.mid <= found.high
    assert busier.mid >= found.mid * (1 - 1e-9)
    assert longer.mid >= alone.mid * (1 - 1e-9)
    assert first is not None
    assert later is not None
    assert 0 < first <= later

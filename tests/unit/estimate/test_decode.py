"""Times of answers, held against measurements of others. The rows of B200 had no part in the constants."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import pytest

from mlctl.estimate import decode, serving
from mlctl.estimate.decode import FITTED, Fitted, Traffic
from mlctl.estimate.fit import Fit
from mlctl.estimate.serving import Service
from tests.unit.estimate.served import LLAMA3_8B, LLAMA_70B, served

ROWS = Path(__file__).with_name("measured_decode.csv")


@dataclass(frozen=True)
class Row:
    device: str
    model: str
    service: Service
    traffic: Traffic
    tpot: float
    ttft: float


def rows() -> Iterator[Row]:
    with ROWS.open(newline="") as file:
        next(file)  # where they are from
        for item in csv.DictReader(file):
            prompt, answer, requests = float(item["prompt"]), float(item["answer"]), int(item["requests"])
            service = served(
                item["model"], item["device"], int(prompt + answer) + 1, weights=item["weights"], key_width=float(item["key_width"]),
                tensor=int(item["tensor"]), share=0.9, batched=8192, running=requests,
            )  # fmt: skip
            yield Row(
                item["device"],
                item["model"],
                service,
                Traffic(requests, prompt, answer),
                float(item["tpot"]),
                float(item["ttft"]),
            )


MEASURED = tuple(rows())
UNSEEN = tuple(row for row in MEASURED if row.device == "B200")


def mean_error(found: list[float], real: list[float]) -> float:
    return fmean(abs(left / right - 1) for left, right in zip(found, real, strict=True))


def foretold(row: Row) -> float:
    found = decode.tpot(row.service, row.traffic)
    assert found is not None
    return found.mid


def test_times_on_a_device_that_the_fit_has_not_seen_are_off_by_less_than_eight_percent() -> None:
    assert len(UNSEEN) == 120
    assert mean_error([foretold(row) for row in UNSEEN], [row.tpot for row in UNSEEN]) < 0.08


def test_times_of_every_device_and_model_are_off_by_less_than_fifteen_percent() -> None:
    for device, model in {(row.device, row.model) for row in MEASURED}:
        chosen = [row for row in MEASURED if (row.device, row.model) == (device, model)]
        assert mean_error([foretold(row) for row in chosen], [row.tpot for row in chosen]) < 0.15, (device, model)


def test_weights_over_bandwidth_alone_are_off_by_more_than_half() -> None:
    alone = [decode.terms(row.service, row.traffic._replace(requests=0.0)).memory for row in UNSEEN]
    assert mean_error(alone, [row.tpot for row in UNSEEN]) > 0.5


def test_no_more_than_six_numbers_are_fitted() -> None:
    assert len(Fitted._fields) <= 6
    assert 0 < FITTED.memory < 1
    assert 0 < FITTED.arithmetic < 0.7


def test_nine_of_ten_measured_times_are_within_the_range() -> None:
    inside = 0
    for row in MEASURED:
        found = decode.tpot(row.service, row.traffic)
        assert found is not None
        inside += found.low <= row.tpot <= found.high
    assert inside / len(MEASURED) > 0.9


def test_no_first_token_ever_came_before_its_floor() -> None:
    assert all(row.ttft > (decode.ttft(row.service, row.traffic.prompt) or 0) for row in MEASURED)


def test_what_was_measured_is_never_refused() -> None:
    assert {serving.starts(row.service) for row in MEASURED} <= {Fit.FITS, Fit.MAY}


def test_requests_without_room_wait_and_do_not_slow_down_the_others() -> None:
    service = served(LLAMA_70B, "H200", 9000, weights="fp8", share=0.9)
    found = [decode.tpot(service, Traffic(number, 8000, 1000)) for number in (16, 1000, 2000)]
    assert found[0] is not None
    assert found[1] is not None
    assert found[0].mid < found[1].mid == found[2].mid  # type: ignore[union-attr]


def test_tokens_a_second_are_requests_over_their_time() -> None:
    service, traffic = served(LLAMA3_8B, "H100", 8192), Traffic(32, 1000, 250)
    time, rate = decode.tpot(service, traffic), decode.throughput(service, traffic)
    assert time is not None
    assert rate is not None
    assert rate.mid == pytest.approx(32 / time.mid)
    assert rate.low <= rate.mid <= rate.high


def test_packed_weights_are_read_faster_and_multiplied_no_faster() -> None:
    whole, packed = (served(LLAMA3_8B, "A100", 8192, weights=name) for name in ("half", "int4"))
    traffic = Traffic(1, 1000, 250)
    assert decode.terms(packed, traffic).memory < 0.5 * decode.terms(whole, traffic).memory
    assert decode.terms(packed, traffic).arithmetic == decode.terms(whole, traffic).arithmetic


@pytest.mark.parametrize(("device", "faster"), [("H100", 2.0), ("MI300X", 2.0), ("A100", 1.0)])
def test_eight_bits_are_multiplied_faster_where_a_device_can(device: str, faster: float) -> None:
    whole, packed = (served(LLAMA3_8B, device, 8192, weights=name) for name in ("half", "fp8"))
    traffic = Traffic(1, 1, 1)  # no attention worth the name
    ratio = decode.terms(whole, traffic).arithmetic / decode.terms(packed, traffic).arithmetic
    assert ratio == pytest.approx(faster, rel=0.01)


def test_engines_and_devices_without_a_measurement_are_less_certain() -> None:
    traffic = Traffic(8, 1000, 250)
    spreads = []
    for device, engine in (("H100", "vllm"), ("L40S", "vllm"), ("H100", "sglang")):
        found = decode.tpot(served(LLAMA3_8B, device, 8192, engine=engine), traffic)
        assert found is not None
        spreads.append(found.high / found.low)
    assert spreads[0] < spreads[1] == pytest.approx(spreads[2])


def test_where_the_bandwidth_is_not_known_no_time_is_told() -> None:
    service = served(LLAMA3_8B, "cpu:8:64GiB", 4096)
    assert decode.tpot(service, Traffic(1, 100, 100)) is None
    assert decode.ttft(service, 100) is None
    assert decode.throughput(service, Traffic(1, 100, 100)) is None

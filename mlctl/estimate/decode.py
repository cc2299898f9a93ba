"""How fast an engine answers: time for each token (TPOT), the least time to the first one (TTFT), tokens a second.

A roofline of five terms. For each token an engine reads the weights, and the keys and values of all requests at work, from memory;
it starts the kernels of every layer; it does some work for each request; and in between it takes the prompts in that came with
those requests, with arithmetic and, over several devices, with what those exchange. What shares of a device's sheet are reached was
fitted on measurements of others (docs/adr/0045), not on yours: the range is that of the measured ones around the line.
"""

from __future__ import annotations

from typing import NamedTuple

from mlctl.estimate.devices import sheet_name
from mlctl.estimate.links import link_sheet
from mlctl.estimate.serving import WEIGHTS, Service
from mlctl.types.estimate import Range


class Fitted(NamedTuple):
    """What measurements say of an engine."""

    memory: float  # share of the sheet's bandwidth
    arithmetic: float  # share of the sheet's operations, for prompts
    layer: float  # seconds a layer and step, however little it does
    exchange: float  # seconds for each second that the links' sheet would take
    request: float  # seconds a request and step


class Traffic(NamedTuple):
    """Requests at once, with tokens that they bring and tokens that they get."""

    requests: float
    prompt: float
    answer: float


# By scripts/bench/decode_fit.py on 2026-11-22: rows of vLLM with dense models in aiconfigurator-core 0.12.0, all of H100 and H200
# (198), none of B200; the 120 rows of that are the proof.
FITTED = Fitted(memory=0.911, arithmetic=0.677, layer=6.94e-5, exchange=1.25, request=5.84e-5)
BASIS = "roofline fitted on 198 measured rows"
# Measured by foretold: nine of ten rows lie within, also of those that the fit has not seen; those of TensorRT-LLM and SGLang
# lie wider, and so may devices without a row.
_AROUND = Range(0.8, 1.0, 1.3)
_AROUND_OTHERS = Range(0.6, 1.0, 1.7)
_MEASURED = ("H100", "H200", "B200")


class Terms(NamedTuple):
    """What one step takes by the sheet alone, each for its own share in `Fitted`."""

    memory: float  # seconds to read weights, keys and values once
    arithmetic: float  # seconds of the prompts that come in
    layers: float
    exchange: float  # seconds of what devices exchange
    requests: float

    def seconds(self, fitted: Fitted) -> float:
        """Of a step in fact."""
        return (
            self.memory / fitted.memory
            + self.arithmetic / fitted.arithmetic
            + self.layers * fitted.layer
            + self.exchange * fitted.exchange
            + self.requests * fitted.request
        )


def terms(service: Service, traffic: Traffic) -> Terms:
    """One step of all requests that have room: those beyond wait, and do not slow the others down."""
    requests = min(traffic.requests, _most(service, traffic))
    prompts = requests * traffic.prompt / traffic.answer  # tokens of prompts that come in for each step
    read = _read(service) + requests * _kept(service, traffic)
    return Terms(
        memory=read / service.device.bandwidth,
        arithmetic=prompts * _token(service, traffic.prompt),
        layers=float(service.shape.layers),
        exchange=(prompts + requests) * _exchanged(service),
        requests=requests,
    )


def tpot(service: Service, traffic: Traffic) -> Range | None:
    """Seconds for each token of an answer; None where the device's bandwidth or operations are not known."""
    if not service.device.bandwidth or not service.device.peak:
        return None
    found, around = terms(service, traffic).seconds(FITTED), _around(service)
    return Range(found * around.low, found, found * around.high, BASIS)


def ttft(service: Service, prompt: float) -> float | None:
    """Seconds to the first token at the least: an empty engine that does what the sheet says. Never a prediction, since nobody
    knows how long a request waits."""
    if not service.device.bandwidth or not service.device.peak:
        return None
    return max(_read(service) / service.device.bandwidth, prompt * _token(service, prompt))


def throughput(service: Service, traffic: Traffic) -> Range | None:
    """Tokens of answers a second, of all devices of one replica together, while that many requests are at work."""
    found = tpot(service, traffic)
    if found is None:
        return None
    requests = min(traffic.requests, _most(service, traffic))
    return Range(requests / found.high, requests / found.mid, requests / found.low, found.basis)


def _around(service: Service) -> Range:
    measured = service.engine == "vllm" and sheet_name(service.device) in _MEASURED
    return _AROUND if measured else _AROUND_OTHERS


def _most(service: Service, traffic: Traffic) -> float:
    """Requests of such a length that have room at once, one at the least: halfway through their answers, on average."""
    return max(1.0, service.room.mid / _kept(service, traffic))


def _kept(service: Service, traffic: Traffic) -> float:
    """Bytes of keys and values of one request, halfway through its answer."""
    return service.keys.request(round(traffic.prompt + traffic.answer / 2), service.key_width, service.tensor)


def _read(service: Service) -> float:
    """Bytes of weights that each step reads: all but the table of tokens, of which it looks up a few rows."""
    stored, shape = WEIGHTS[service.weights], service.shape
    return (shape.matrices * stored.matrix.mid + shape.vocabulary * shape.hidden * stored.other) / service.tensor


def _token(service: Service, prompt: float) -> float:
    """Seconds of one token of a prompt by the sheet: the blocks' matrices, and attention to half of the prompt in 16 bits."""
    shape, peak = service.shape, service.device.peak * service.tensor
    attention = 2.0 * shape.layers * shape.heads * shape.head_dim * prompt
    return (2.0 * shape.matrices / _faster(service) + attention) / peak


def _faster(service: Service) -> int:
    """How often faster than in 16 bits the device multiplies such weights."""
    stored, device = WEIGHTS[service.weights], service.device
    able = stored.speed == 2 if device.capability is None else device.capability >= stored.capability
    return stored.speed if able else 1


def _exchanged(service: Service) -> float:
    """Seconds of one token by the links' sheet: two sums over all devices in each layer."""
    if service.tensor == 1:
        return 0.0
    link = link_sheet(service.device, service.tensor)
    each = 4.0 * service.shape.layers * service.shape.hidden
    return each * 2 * (service.tensor - 1) / service.tensor / link

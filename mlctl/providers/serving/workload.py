"""A deployment of a language model on other devices than the project says: whether it starts there, and what it would do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mlctl.estimate import decode, serving
from mlctl.estimate.decode import Traffic
from mlctl.estimate.devices import HOST, Device
from mlctl.estimate.fit import Fit
from mlctl.estimate.prices import Tier
from mlctl.estimate.serving import Service
from mlctl.estimate.shapes import UnknownShape
from mlctl.estimate.workload import Outlook
from mlctl.provider import Context, Desired
from mlctl.providers.serving.behind import NoLanguageModel
from mlctl.providers.serving.devices import ServingPlace, place_of, rent_of
from mlctl.providers.serving.engines.support import unsupported
from mlctl.providers.serving.estimates import services_of, traffic_of, usual_length
from mlctl.types.estimate import Range
from mlctl.types.state import Record


def workload(desired: Desired, made: Sequence[Record], ctx: Context) -> DeploymentWorkload | None:
    """What a deployment of a language model is as far as devices matter; None while its model is not known, and for a server of
    rows. Raises MlctlError."""
    place = place_of(desired.spec)
    try:
        services = services_of(desired, place, ctx)
    except (UnknownShape, NoLanguageModel):
        return None
    service = max(services, key=lambda item: serving.needed(item).mid)
    return DeploymentWorkload(str(desired.address), service, place, rent_of(place, service.tensor, ctx).tier)


@dataclass(frozen=True)
class DeploymentWorkload:
    """One engine with its model, and the requests that times are told for: `traffic` may be replaced by whoever knows them better."""

    address: str
    service: Service
    place: ServingPlace
    tier: Tier | None
    traffic: Traffic | None = None
    lasting: bool = True
    checkpoint_seconds: float | None = None

    @property
    def device(self) -> Device:
        """Those that the project gives it, of all replicas together."""
        device = self.place.device
        return (
            device if device.host else replace(device, count=self.place.used(self.service.tensor) * self.place.replicas)
        )

    @property
    def wanted(self) -> int | None:
        """The engine's `max_running`, of all replicas; None where that is left to the engine."""
        return None if self.service.running is None else self.service.running * self.place.replicas

    @property
    def usual_tokens(self) -> int:
        """Of a request that times are told for."""
        return usual_length(self.service)

    def on(self, device: Device) -> Outlook:
        """The same engine spread over all of these devices, by as many replicas as the project has where that is possible."""
        if not device.memory:
            return Outlook(device, Fit.MAY, why="which device it is, and how much memory it has, is not known")
        lacking = unsupported(self.service, device)
        if lacking:
            return Outlook(device, Fit.NEVER, unsupported=lacking)
        tensor, replicas = self._spread(device)
        if tensor * replicas < device.count and not device.host and device != self.device:
            return Outlook(device, Fit.NEVER, unsupported=f"its layers cannot be shared by {device.count} devices")
        service = self._moved(device, tensor)
        changes = self._changes(device, tensor, replicas)
        fit, needed = serving.starts(service), serving.needed(service)
        if fit is Fit.NEVER:
            return Outlook(device, fit, needed, changes=changes, why=self._missing(service))
        figures = self._figures(service, replicas)
        usual = usual_length(service)
        grows = not device.host and service.key_bytes is None  # else room for all of them is set aside at the start
        return Outlook(
            device, fit, needed, figures=figures, changes=changes, why=_words(replicas),
            usual=None if service.unsure else serving.concurrency(service, usual) * replicas,
            each=serving.request_bytes(service) / replicas if grows else 0.0,
            each_usual=serving.request_bytes(service, usual) / replicas if grows else 0.0,
        )  # fmt: skip

    def _spread(self, device: Device) -> tuple[int, int]:
        """Over how many devices each layer is shared, and how many replicas there are of that. On one machine there is one. Where
        it is now it is as it is, with devices that no layer is on."""
        if device.host:
            return 1, 1
        shape, own = self.service.shape, self.place.replicas
        if device == self.device:
            return self.service.tensor, own
        replicas = own if device.count % own == 0 else 1
        each = device.count // replicas
        able = (number for number in range(min(each, HOST), 0, -1) if not each % number)
        tensor = next(number for number in able if not serving.unshared(shape, number))
        return tensor, device.count // tensor if self.place.cluster else 1

    def _moved(self, device: Device, tensor: int) -> Service:
        if device.host:
            return replace(self.service, device=device, tensor=1, share=None)
        return replace(self.service, device=replace(device, count=tensor), tensor=tensor)

    def _changes(self, device: Device, tensor: int, replicas: int) -> tuple[str, ...]:
        found = [] if tensor == self.service.tensor else [f"serve.engine.tensor_parallel: {tensor}"]
        if self.place.cluster:
            found += [] if device == self.device or tensor == self.place.device.count else [f"target.gpus: {tensor}"]
            found += [] if replicas == self.place.replicas else [f"target.replicas: {replicas}"]
        return tuple(found)

    def _missing(self, service: Service) -> str:
        ways = [item.change for item in serving.ways(service) if item.fit is Fit.FITS]
        return f"it would start with `serve.engine.{ways[0]}`" if ways else ""

    def _figures(self, service: Service, replicas: int) -> dict[str, Range]:
        """Seconds a token and at least to the first one, requests of the greatest length at once, tokens a second of all replicas."""
        if service.unsure:
            return {}
        traffic = self.traffic or traffic_of(self.service)
        found = {"concurrency": serving.concurrency(service) * replicas}
        shared = traffic._replace(requests=max(1.0, traffic.requests / replicas))
        tpot, rate = decode.tpot(service, shared), decode.throughput(service, shared)
        first = decode.ttft(service, traffic.prompt)
        if tpot is not None and rate is not None and first is not None:
            found |= {"tpot_seconds": tpot, "ttft_seconds": Range.exactly(first), "tokens_per_second": rate * replicas}
        return found


def _words(replicas: int) -> str:
    return "" if replicas == 1 else f"{replicas} replicas"

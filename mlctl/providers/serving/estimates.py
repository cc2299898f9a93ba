"""What a deployment will take: memory, whether its engine starts, how many requests have room and how soon they are answered, money."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlctl.estimate import decode, serving
from mlctl.estimate.decode import Traffic
from mlctl.estimate.fit import Fit
from mlctl.estimate.serving import Service
from mlctl.estimate.shapes import UnknownShape
from mlctl.provider import Context, Desired
from mlctl.providers.serving.behind import NoLanguageModel, behind, made_folder
from mlctl.providers.serving.devices import Rent, ServingPlace, place_of, rent_of
from mlctl.providers.serving.engines.services import COUNTED, ON_PROCESSORS, of_file, service_of
from mlctl.providers.serving.engines.support import unsupported
from mlctl.providers.serving.spec.deployment import DeploymentSpec
from mlctl.providers.serving.spec.engines import TorchEngine, XllamacppEngine
from mlctl.providers.serving.wanted import models_of
from mlctl.types.diagnostic import MlctlError
from mlctl.types.estimate import NOTHING, Estimate, Range
from mlctl.types.spoken import spoken_bytes
from mlctl.types.state import Record

# Of a server of rows: the interpreter with its libraries, and how often the files of a model are in memory.
_ROWS_RUNTIME, _ROWS_COPIES = Range(0.1e9, 0.35e9, 0.9e9), Range(0.5, 1.5, 4.0)
PROMPT, ANSWER, REQUESTS = 1000, 250, 32  # tokens and requests that times are told for, where the engine takes as many
_MOST_WAYS = 4
_ALONE = 0.48  # of a GPU: two engines with more have no room beside each other


def estimate(desired: Desired, made: Sequence[Record], ctx: Context) -> Estimate | None:
    """Memory and money of a deployment, and of a language model what its engine can do. Raises MlctlError for an engine that cannot
    start. Of a server of rows that nothing is known of there is none."""
    spec: DeploymentSpec = desired.spec
    place = place_of(spec)
    try:
        if isinstance(spec.serve.engine, TorchEngine):
            return _of_rows(desired, spec, place, ctx)
        return _of_language(desired, spec, place, made, ctx)
    except NoLanguageModel:  # which `validate` refuses by itself
        return None


def services_of(desired: Desired, place: ServingPlace, ctx: Context) -> list[Service]:
    """The engine with each of the models that it is to serve. Raises UnknownShape and NoLanguageModel."""
    spec: DeploymentSpec = desired.spec
    engine = spec.serve.engine
    if engine.type not in COUNTED:
        raise UnknownShape(f"what the engine `{engine.type}` takes cannot be counted")
    if place.device.host and engine.type not in ON_PROCESSORS:
        raise UnknownShape(f"`{engine.type}` needs a GPU")
    found = [behind(desired, model, ctx) for model in models_of(spec)]
    if isinstance(engine, XllamacppEngine):
        size = _file(engine.gguf, ctx)
        return [of_file(engine, item, place.device, size) for item in found]
    return [service_of(engine, item, place.device) for item in found]  # type: ignore[arg-type]


def _file(name: str, ctx: Context) -> float:
    try:
        return float(ctx.path(name).stat().st_size)
    except OSError:
        raise UnknownShape(f"the file `{name}` is still to be made") from None


def _of_language(
    desired: Desired, spec: DeploymentSpec, place: ServingPlace, made: Sequence[Record], ctx: Context
) -> Estimate:
    tensor = int(getattr(spec.serve.engine, "tensor_parallel", 1))
    rent = rent_of(place, tensor, ctx)
    try:
        services = services_of(desired, place, ctx)
    except UnknownShape as error:
        return _told(place, rent, tensor, notes=(f"unknown: {error}",))
    service = max(services, key=lambda item: serving.needed(item).mid)
    warnings = _warnings(service, place, len(services), _stands(desired, made))
    uneven = serving.unshared(service.shape, service.tensor)
    if uneven:
        raise _cannot_share(str(desired.address), service, uneven)
    if place.known and place.device.memory:
        lacking = unsupported(service, place.device)
        warnings = (*((f"`{service.engine}` may not start: {lacking}",) if lacking else ()), *warnings)
        fit = serving.starts(service)
        if fit is Fit.NEVER:
            raise does_not_start(str(desired.address), service)
        if fit is Fit.MAY and not service.unsure:
            warnings = (_may_not(service), *warnings)
    needed = serving.needed(service)
    if place.device.host:
        needed = _sum([serving.needed(item) for item in services])
    parts = {name: value.mid for name, value in serving.parts(service).items()}
    parts["keys and values"] = serving.needed(service).mid - sum(parts.values())
    return _told(place, rent, tensor, needed, parts, _speeds(service, place), warnings)


def _told(
    place: ServingPlace,
    rent: Rent,
    tensor: int = 1,
    memory: Range | None = None,
    parts: dict[str, float] | None = None,
    notes: Sequence[str] = (),
    warnings: Sequence[str] = (),
) -> Estimate:
    """The estimate of a service on its place."""
    device = place.device
    return Estimate(
        device=device.name,
        devices=place.used(tensor) * place.replicas,
        capacity=device.memory if place.known and device.memory else None,
        memory=memory,
        parts=parts or {},
        hourly=rent.hourly,
        lasting=True,
        tier=rent.tier,
        notes=tuple(text for text in (place.note, rent.note, *notes) if text),
        warnings=tuple(warnings),
    )


def usual_length(service: Service) -> int:
    """Tokens of a usual request with its answer, where the engine takes as many."""
    return int(min(PROMPT, 0.8 * service.length) + min(ANSWER, 0.2 * service.length))


def traffic_of(service: Service) -> Traffic:
    """The requests that times are told for: as many as are usual, and have room."""
    prompt, answer = min(PROMPT, 0.8 * service.length), min(ANSWER, 0.2 * service.length)
    most = float(min(REQUESTS, service.most))
    if service.device.memory:
        most = min(most, float(int(serving.concurrency(service, usual_length(service)).mid)))
    return Traffic(max(1.0, most), prompt, answer)


def _speeds(service: Service, place: ServingPlace) -> list[str]:
    """What the engine can do, in words."""
    if not place.known or not place.device.memory:
        return []
    if service.unsure:
        return [
            "the checkpoint has scales for keys and values in 8 bits, which engines take up or not: its room is not told"
        ]
    tokens, at_once = serving.tokens(service), serving.concurrency(service)
    spread = "" if tokens.low == tokens.high else f" ({tokens.low:,.0f} to {tokens.high:,.0f})"
    found = [f"room for {tokens.mid:,.0f} tokens{spread}: {_requests(at_once.mid)} of {service.length:,} at once"]
    traffic = traffic_of(service)
    alone, busy = (decode.tpot(service, traffic._replace(requests=number)) for number in (1.0, traffic.requests))
    first = decode.ttft(service, traffic.prompt)
    if alone is None or busy is None or first is None:
        return found
    words = f"{_milliseconds(alone)} a token alone"
    if traffic.requests > 1:
        words += f", {_milliseconds(busy)} with {traffic.requests:.0f} requests at once"
    shape = f"{traffic.prompt:,.0f} tokens in, {traffic.answer:,.0f} out"
    return [*found, f"{words} ({shape}; {busy.basis}); first token >= {first * 1e3:.0f} ms, waiting not counted"]


def _milliseconds(value: Range) -> str:
    low, mid, high = (f"{item * 1e3:.3g}" for item in (value.low, value.mid, value.high))
    return f"{mid} ms ({low} to {high})"


def _requests(value: float) -> str:
    if value == 1:
        return "one request"
    return f"{value:,.1f} requests" if value < 10 and value != int(value) else f"{value:,.0f} requests"


def does_not_start(address: str, service: Service) -> MlctlError:
    """The refusal, with what the memory is made of and what would help."""
    device, room, needed = service.device, service.room, serving.needed(service)
    least = serving.request_bytes(service)
    held = sorted(serving.parts(service).items(), key=lambda item: -item[1].low)
    pieces = ", ".join(f"{name} {spoken_bytes(value.low)}" for name, value in held if value.low >= 2**20)
    ways = [item for item in serving.ways(service) if item.fit is Fit.FITS] or serving.ways(service)
    lines = [
        f"`serve.engine.{item.change}`" + ("" if item.fit is Fit.FITS else " (perhaps)") for item in ways[:_MOST_WAYS]
    ]
    where = "this machine" if device.host else f"one {device.name}"
    if room.high < least:
        what = (
            f"a request of {service.length:,} tokens needs {spoken_bytes(least)} for its keys and values, and at most "
            f"{spoken_bytes(room.high)} are left for them"
        )
    else:
        what = f"it needs at least {spoken_bytes(needed.low)}, {spoken_bytes(room.mid)} of them for keys and values"
    return MlctlError.of(
        "deploy.does-not-start",
        f"{address}: `{service.engine}` cannot start on {where} with {spoken_bytes(device.memory)}: {what}",
        f"the rest is taken by {pieces}",
        "\n".join([*lines, f"{'or ' if lines else ''}a smaller model, or a device with more memory"]),
        address=address,
    )


def _cannot_share(address: str, service: Service, why: str) -> MlctlError:
    """The refusal of a number of devices that layers do not come out even on."""
    able = [str(number) for number in range(1, service.tensor) if not serving.unshared(service.shape, number)]
    return MlctlError.of(
        "deploy.does-not-start",
        f"{address}: `{service.engine}` cannot start with `tensor_parallel: {service.tensor}`",
        why,
        f"set `serve.engine.tensor_parallel` to {' or '.join(able[-3:])}",
        address=address,
    )


def _may_not(service: Service) -> str:
    least, room = serving.request_bytes(service), service.room
    ways = [item for item in serving.ways(service) if item.fit is Fit.FITS]
    better = f"; `serve.engine.{ways[0].change}` surely leaves enough" if ways else ""
    if room.low >= least:
        needed, memory = serving.needed(service), service.device.memory
        return f"it may not fit: up to {spoken_bytes(needed.high)} of {spoken_bytes(memory)}{better}"
    return (
        f"`{service.engine}` may not start: a request of {service.length:,} tokens needs {spoken_bytes(least)}, and "
        f"{spoken_bytes(room.low)} to {spoken_bytes(room.high)} are left for it{better}"
    )


def _warnings(service: Service, place: ServingPlace, models: int, stands: bool) -> tuple[str, ...]:
    """What a reader should not miss of the model and the devices."""
    found = []
    if service.longest is not None and service.length > service.longest:
        found.append(
            f"`{service.engine}` will not start: `max_model_len: {service.length}` is more than the {service.longest:,} tokens that the "
            "model takes (max_position_embeddings)"
        )
    if not place.device.host and service.tensor > place.device.count:
        found.append(f"`tensor_parallel: {service.tensor}` wants as many GPUs, and there are {place.device.count}")
    elif place.cluster and not place.device.host and service.tensor < place.device.count:
        found.append(
            f"`tensor_parallel: {service.tensor}` uses {service.tensor} of the {place.device.count} GPUs of each pod"
        )
    share = 0.92 if service.share is None else service.share
    if not place.cluster and not place.device.host and service.key_bytes is None and share > _ALONE:
        if models > 1:
            found.append(
                f"{models} models are served at once, and each engine takes {share:.0%} of the GPU: set `gpu_memory`"
            )
        elif stands:
            found.append(
                f"the old release goes on until the new one answers, and each takes {share:.0%} of the GPU: set `gpu_memory`"
            )
    return tuple(found)


def _stands(desired: Desired, made: Sequence[Record]) -> bool:
    """Whether a release serves already."""
    return any(record.key.address == desired.address and record.id is not None for record in made)


def _of_rows(desired: Desired, spec: DeploymentSpec, place: ServingPlace, ctx: Context) -> Estimate | None:
    """A server of rows: by the files of its models, as soon as they are there."""
    rent = rent_of(place, 1, ctx)
    folders = [made_folder(desired, model, ctx) for model in models_of(spec)]
    sizes = [_size(folder) for folder in folders if folder is not None]
    if not place.device.host or not sizes or len(sizes) < len(folders):
        return _told(place, rent) if rent.tier is not None else None
    workers = spec.serve.workers
    memory = _sum([(_ROWS_RUNTIME + _ROWS_COPIES * size) * workers for size in sizes])
    parts = {"models": sum(sizes) * workers * _ROWS_COPIES.mid, "runtime": _ROWS_RUNTIME.mid * workers * len(sizes)}
    warnings = []
    if place.device.memory and memory.low > place.device.memory:
        warnings.append(
            f"it does not fit: {workers} workers need at least {spoken_bytes(memory.low)}; lower `serve.workers`"
        )
    return _told(place, rent, 1, memory, parts, (), warnings)


def _size(folder: Path) -> float:
    """Bytes of all files of a folder; 0 for one that is gone."""
    return float(sum(item.stat().st_size for item in folder.rglob("*") if item.is_file()))


def _sum(ranges: Sequence[Range]) -> Range:
    found = NOTHING
    for item in ranges:
        found = found + item
    return found

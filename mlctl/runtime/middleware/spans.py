"""What a trace tells of a request: the request itself, and below it the look-up of features and the model, or the language model.

Names of attributes are OpenTelemetry's: `http.*`, and for language models the GenAI conventions as of SCHEMA, the last release
that had them in the main repository. What is ours alone is `mlctl.*`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .call import Call
from .content import Content
from .otlp import CLIENT, INTERNAL, SERVER, Span
from .settings import Settings
from .trace import new_span_id

SCHEMA = "https://opentelemetry.io/schemas/1.41.0"
SCOPE = "mlctl.middleware"
PROVIDER = "mlctl"

_OPERATIONS = {
    "/v1/chat/completions": "chat", "/v1/responses": "chat", "/v1/messages": "chat", "/v1/completions": "text_completion",
    "/v1/embeddings": "embeddings",
}  # fmt: skip
_ASKED = {
    "temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "max_tokens": "max_tokens", "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens", "seed": "seed", "stream": "stream", "stop": "stop_sequences", "stop_sequences": "stop_sequences",
    "frequency_penalty": "frequency_penalty", "presence_penalty": "presence_penalty",
}  # fmt: skip
_CLOCKS_SECONDS, _LONGEST_SECONDS = 0.01, 3600.0
_WHOLE = ("max_tokens", "seed", "top_k")
_LARGEST = 2.0**63  # what an attribute holds
_TEXTS, _FLAGS = ("stop_sequences",), ("stream",)  # all others are numbers


def resource(settings: Settings) -> dict[str, Any]:
    """Who sends spans."""
    return {
        "service.name": settings.deployment, "service.version": settings.version, "mlctl.deployment": settings.deployment,
        "mlctl.model": settings.model,
    }  # fmt: skip


def spans_of(
    call: Call, settings: Settings, path: str, seconds: float, epoch: int, content: Content | None
) -> list[Span]:
    """The spans of a request that took so many seconds. `epoch` is what a `perf_counter` of 0 is in nanoseconds since 1970.

    A gateway's span begins when it got the request, and ends with ours: the way back is not in it.
    """

    def moment(at: float) -> int:
        return epoch + round(at * 1e9)

    trace, end, found = call.trace, call.started + seconds, []
    parent, waited = trace.parent_id, _in_gateway(call, moment(call.started))
    if waited is not None:
        parent = new_span_id()
        start = moment(call.started) - round(waited * 1e9)
        attributes = {**_of_request(call, settings, path), "mlctl.gateway.seconds": waited}
        name = f"gateway {settings.deployment}"
        found.append(
            Span(trace.trace_id, parent, trace.parent_id, name, SERVER, start, moment(end), attributes, schema=SCHEMA)
        )
    failed = f"HTTP {call.code}" if call.code >= 500 else None
    found.append(
        Span(
            trace.trace_id, trace.span_id, parent, f"POST {path}", SERVER, moment(call.started), moment(end),
            _of_request(call, settings, path), failed, SCHEMA,
        )
    )  # fmt: skip
    for name, began, ended in call.stages:
        found.append(
            Span(
                trace.trace_id,
                new_span_id(),
                trace.span_id,
                name,
                INTERNAL,
                moment(began),
                moment(ended),
                schema=SCHEMA,
            )
        )
    if content is not None and path in _OPERATIONS and call.begun and call.cached != "hit":
        attributes = dict(_of_language(call, settings, path, content))
        name = f"{attributes['gen_ai.operation.name']} {attributes['gen_ai.request.model']}"
        found.append(
            Span(
                trace.trace_id, new_span_id(), trace.span_id, name, CLIENT, moment(call.begun), moment(end), attributes, failed, SCHEMA,
            )
        )  # fmt: skip
    return found


def _in_gateway(call: Call, arrived: int) -> float | None:
    """How long the gateway had it before it came here; None where nothing stands in front of us, or the clocks do not agree."""
    if call.received is None:
        return None
    waited = arrived / 1e9 - call.received
    return max(0.0, waited) if -_CLOCKS_SECONDS < waited < _LONGEST_SECONDS else None


def _of_request(call: Call, settings: Settings, path: str) -> dict[str, Any]:
    return {
        "http.request.method": "POST", "http.route": path, "url.path": path, "http.response.status_code": call.code or None,
        "error.type": str(call.code) if call.code >= 500 else None,
        "mlctl.request.id": call.request_id, "mlctl.deployment": settings.deployment, "mlctl.model": settings.model,
        "mlctl.version": call.version or settings.version, "mlctl.variant": call.variant, "mlctl.role": call.role,
        "mlctl.unit": call.unit, "mlctl.bucket": call.bucket, "mlctl.propensity": call.propensity, "mlctl.rows": call.predictions or None,
        "mlctl.cache": call.cached, "mlctl.waited_seconds": call.waited or None,
    }  # fmt: skip


def _of_language(call: Call, settings: Settings, path: str, content: Content) -> Iterator[tuple[str, Any]]:
    asked, said = content.asked(), call.answer or {}
    yield "gen_ai.operation.name", _OPERATIONS[path]
    yield "gen_ai.provider.name", PROVIDER
    model = asked.get("model")
    yield "gen_ai.request.model", model if isinstance(model, str) and model else settings.model
    for field, name in _ASKED.items():
        if (value := _plain(name, asked.get(field))) is not None:
            yield f"gen_ai.request.{name}", value
    yield "gen_ai.response.model", said.get("response_model")
    yield "gen_ai.response.id", said.get("response_id")
    yield "gen_ai.response.finish_reasons", [said["finish_reason"]] if said.get("finish_reason") else None
    yield "gen_ai.response.time_to_first_chunk", said.get("ttft_seconds")
    yield "gen_ai.usage.input_tokens", said.get("prompt_tokens")
    yield "gen_ai.usage.output_tokens", said.get("completion_tokens")
    yield "gen_ai.usage.cache_read.input_tokens", said.get("cached_tokens")
    yield "gen_ai.usage.reasoning.output_tokens", said.get("reasoning_tokens")
    yield "gen_ai.prompt.name", None if call.template is None else call.template.partition("@")[0]
    yield "mlctl.prompt.template", call.template
    yield from content.attributes(said.get("finish_reason")).items()


def _plain(name: str, value: Any) -> Any:
    """What the conventions have for a parameter; anything else is a client's mistake, or its text in the wrong place."""
    if name in _TEXTS:
        texts = [value] if isinstance(value, str) else value
        return texts if isinstance(texts, list) and texts and all(isinstance(item, str) for item in texts) else None
    if isinstance(value, bool) or name in _FLAGS:
        return value if isinstance(value, bool) and name in _FLAGS else None
    if not isinstance(value, int | float) or not -_LARGEST < value < _LARGEST:
        return None
    return int(value) if name in _WHOLE else float(value)

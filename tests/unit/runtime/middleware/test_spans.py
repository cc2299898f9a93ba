from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mlctl.runtime.middleware import STATE, Traces
from mlctl.runtime.middleware.exporter import Exporter, traces_url
from mlctl.runtime.middleware.otlp import CLIENT, SERVER, Span, request
from tests.unit.runtime.middleware.client import around, ask, echo, respond, rows, run
from tests.unit.runtime.middleware.test_answers import CHAT, events, streaming
from tests.unit.runtime.middleware.test_trace import PARENT

TRACE = "0af7651916cd43dd8448eb211c80319c"


class Receiver:
    """Takes OTLP, and reads it by OpenTelemetry's own classes."""

    def __init__(self) -> None:
        self.status = 200
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""
        self.hold = threading.Event()
        self.hold.set()

    def spans(self) -> list[Any]:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        read = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        return [
            (resource.resource, scope, span)
            for item in read
            for resource in item.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


def plain(attributes: Any) -> dict[str, Any]:
    def value(of: Any) -> Any:
        kind = of.WhichOneof("value")
        return [value(item) for item in of.array_value.values] if kind == "array_value" else getattr(of, kind)

    return {item.key: value(item.value) for item in attributes}


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.hold.wait(10)
            receiver.headers.append(
                {name.lower(): value for name, value in self.headers.items()} | {":path": self.path}
            )
            if receiver.status == 200:
                receiver.bodies.append(body)
            self.send_response(receiver.status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield receiver
    finally:
        receiver.hold.set()
        server.shutdown()
        server.server_close()
        thread.join()


def test_spans_are_written_as_opentelemetry_reads_them() -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    attributes = {
        "text": "Zoë \U0001f600", "number": 300, "negative": -3, "large": 2**62, "real": 0.1, "yes": True, "no": False, "list": ["a", 1, 0.5], "none": None,
    }  # fmt: skip
    spans = [
        Span(
            TRACE,
            "b7ad6b7169203331",
            "00f067aa0ba902b7",
            "POST /predict",
            SERVER,
            10**18,
            10**18 + 5,
            attributes,
            None,
            "https://s/1",
        ),
        Span(TRACE, "b7ad6b7169203332", None, "chat m", CLIENT, 10**18 + 7, 10**18, {}, "HTTP 500"),
    ]
    found = ExportTraceServiceRequest.FromString(request({"service.name": "api"}, ("mlctl", "3"), spans))
    [resource] = found.resource_spans
    assert plain(resource.resource.attributes) == {"service.name": "api"}
    one, two = resource.scope_spans
    assert (one.scope.name, one.scope.version, one.schema_url, two.schema_url) == ("mlctl", "3", "https://s/1", "")
    [first], [second] = one.spans, two.spans
    expected = {name: value for name, value in attributes.items() if value is not None}
    assert plain(first.attributes) == expected
    assert (first.trace_id.hex(), first.span_id.hex(), first.parent_span_id.hex()) == (
        TRACE,
        "b7ad6b7169203331",
        "00f067aa0ba902b7",
    )
    assert (first.name, first.kind, first.start_time_unix_nano, first.end_time_unix_nano) == (
        "POST /predict",
        2,
        10**18,
        10**18 + 5,
    )
    assert (first.status.code, second.status.code, second.status.message) == (0, 2, "HTTP 500")
    assert second.end_time_unix_nano == second.start_time_unix_nano  # a clock that was set back makes no negative time
    assert (second.parent_span_id, first.flags) == (b"", 1)


def test_a_request_is_a_span_with_its_stages_below(tmp_path: Path) -> None:
    async def staged(scope: Any, receive: Any, send: Any) -> None:
        now = time.perf_counter()
        scope["state"][STATE].stages = [
            ("features.lookup", now - 0.002, now - 0.001),
            ("model.predict", now - 0.001, now),
        ]
        await echo()(scope, receive, send)

    with receiving() as receiver:
        app = around(
            staged,
            log_folder=str(tmp_path),
            traces=Traces(receiver.url, 1.0, {"x-key": "secret key"}),
            unit_header="x-user",
            behind_gateway=True,
        )
        answer = run(ask(app, headers=[("traceparent", PARENT), ("x-user", "u-1"), ("x-mlctl-propensity", "0.5")]))
        app.close()
        [(resource, _, root), (_, _, lookup), (_, _, predict)] = receiver.spans()
    assert plain(resource.attributes)["service.name"] == "api"
    assert (root.name, root.trace_id.hex(), root.parent_span_id.hex()) == ("POST /predict", TRACE, "b7ad6b7169203331")
    assert root.span_id.hex() == answer.headers["traceparent"].split("-")[2]
    assert [(span.name, span.parent_span_id) for span in (lookup, predict)] == [
        ("features.lookup", root.span_id),
        ("model.predict", root.span_id),
    ]
    assert lookup.end_time_unix_nano == predict.start_time_unix_nano
    assert abs(root.end_time_unix_nano - time.time_ns()) < 60e9
    told = plain(root.attributes)
    assert (told["http.response.status_code"], told["mlctl.request.id"], told["mlctl.propensity"]) == (
        200,
        answer.headers["x-request-id"],
        0.5,
    )
    assert told["mlctl.unit"] == rows(tmp_path)[0]["unit"]
    assert rows(tmp_path)[0]["sampled"] is True
    assert receiver.headers[0][":path"] == "/v1/traces"
    assert (receiver.headers[0]["x-key"], receiver.headers[0]["content-type"]) == (
        "secret key",
        "application/x-protobuf",
    )
    assert app.counts()["server"]["spans_sent"] == 3
    assert "secret key" not in repr(app.settings)


def test_an_answer_of_a_language_model_is_a_span_by_the_genai_conventions() -> None:
    from opentelemetry.semconv._incubating.attributes import gen_ai_attributes

    known = {value for name, value in vars(gen_ai_attributes).items() if name.startswith("GEN_AI")}
    body = {
        "model": "support", "temperature": 0.2, "max_tokens": 64.0, "stop": ["\n"], "stream": True,
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "I am ann@shop.example"}],
    }  # fmt: skip
    with receiving() as receiver:
        app = around(streaming(events(usage=True), wait=0.01), traces=Traces(receiver.url), capture="redacted")
        run(ask(app, json.dumps(body).encode(), path=CHAT, headers=[("x-mlctl-template", "support@3")]))
        app.close()
        [(_, _, root), (_, scope, chat)] = receiver.spans()
    told = plain(chat.attributes)
    assert (chat.name, chat.kind, chat.parent_span_id) == ("chat support", CLIENT, root.span_id)
    assert (told["gen_ai.operation.name"], told["gen_ai.provider.name"], told["gen_ai.request.model"]) == (
        "chat",
        "mlctl",
        "support",
    )
    assert (told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"]) == (11, 7)
    assert (told["gen_ai.response.finish_reasons"], told["gen_ai.response.id"]) == (["length"], "chatcmpl-1")
    assert 0 < told["gen_ai.response.time_to_first_chunk"] < 1
    assert (
        told["gen_ai.request.max_tokens"],
        told["gen_ai.request.stop_sequences"],
        told["gen_ai.request.stream"],
    ) == (64, ["\n"], True)
    assert json.loads(told["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "I am [email]"}]}
    ]
    assert json.loads(told["gen_ai.output.messages"])[0]["parts"] == [{"type": "text", "content": "Hello there"}]
    assert json.loads(told["gen_ai.system_instructions"]) == [{"type": "text", "content": "Be kind."}]
    assert told["gen_ai.prompt.name"] == "support"
    assert {name for name in told if name.startswith("gen_ai.")} <= known
    assert scope.schema_url == "https://opentelemetry.io/schemas/1.41.0"


@pytest.mark.parametrize(("capture", "texts"), [("none", False), ("hash", False), ("full", True)])
def test_content_is_in_spans_only_as_far_as_is_asked_for(capture: str, texts: bool) -> None:
    with receiving() as receiver:
        app = around(streaming(events(usage=True)), traces=Traces(receiver.url), capture=capture)
        run(ask(app, b'{"messages": [{"role": "user", "content": "secret plans"}]}', path=CHAT))
        app.close()
        told = plain(receiver.spans()[1][2].attributes)
    assert ("secret plans" in str(told)) == texts
    assert ("mlctl.prompt.digest" in told) == (capture == "hash")


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ('{"top_k": 1e999, "seed": NaN, "max_tokens": 7}', {"max_tokens": 7}),
        ('{"temperature": "my diagnosis", "stream": "it", "top_p": ["is"], "seed": true}', {}),
        ('{"stop": "END", "temperature": 1}', {"stop_sequences": ["END"], "temperature": 1.0}),
    ],
)
def test_parameters_that_are_none_are_left_out_and_cost_no_span(asked: str, found: dict[str, Any]) -> None:
    """Nothing that a client writes may end the telling, or put its text where `capture: none` lets none through."""
    with receiving() as receiver:
        app = around(streaming(events(usage=True)), traces=Traces(receiver.url), capture="none")
        run(ask(app, asked.encode(), path=CHAT))
        app.close()
        told = [plain(span.attributes) for _, _, span in receiver.spans() if span.kind == CLIENT]
    [attributes] = told
    prefix = "gen_ai.request."
    assert {key.removeprefix(prefix): value for key, value in attributes.items() if key.startswith(prefix)} == {
        "model": attributes["gen_ai.request.model"],
        **found,
    }


def test_an_answer_out_of_the_cache_is_no_call_of_a_model() -> None:
    from mlctl.runtime.middleware import Cache

    async def engine(scope: Any, receive: Any, send: Any) -> None:
        await respond(
            send,
            {
                "choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 3, "completion_tokens": 1},
            },
        )

    with receiving() as receiver:
        app = around(engine, traces=Traces(receiver.url), cache=Cache(60.0))

        async def twice() -> None:
            for _ in range(2):
                await ask(app, b'{"messages": [], "temperature": 0}', path=CHAT)

        run(twice())
        app.close()
        names = [span.name for _, _, span in receiver.spans()]
    assert names == ["POST /v1/chat/completions", "chat shops", "POST /v1/chat/completions"]


def test_what_is_not_sampled_is_not_sent() -> None:
    with receiving() as receiver:
        app = around(echo(), traces=Traces(receiver.url))
        run(ask(app, headers=[("traceparent", PARENT.replace("-01", "-00"))]))
        app.close()
        assert (receiver.bodies, app.counts()["server"]["spans_dropped"]) == ([], 0)


def test_a_receiver_that_stands_still_holds_up_no_request_and_what_finds_no_room_is_counted() -> None:
    sent: list[int] = []
    dropped: list[int] = []
    span = Span(TRACE, "b7ad6b7169203331", None, "x", SERVER, 1, 2)
    with receiving() as receiver:
        receiver.hold.clear()
        exporter = Exporter(receiver.url, {}, {}, ("mlctl", "1"), sent.append, dropped.append, capacity=10)
        began = time.perf_counter()
        for _ in range(2000):
            exporter.send(lambda: [span])
        assert time.perf_counter() - began < 1.0
        exporter.send(lambda: [span], size=10**9)
        assert 1000 < sum(dropped) < 2001
        receiver.hold.set()
        exporter.close()
        assert sum(sent) + sum(dropped) == 2001


def test_a_receiver_that_refuses_costs_its_batch_and_is_asked_again_only_when_that_may_help() -> None:
    for status, asked in ((400, 1), (503, 3)):
        dropped: list[int] = []
        with receiving() as receiver:
            receiver.status = status
            exporter = Exporter(receiver.url, {}, {}, ("mlctl", "1"), lambda number: None, dropped.append)
            exporter.send(lambda: [Span(TRACE, "b7ad6b7169203331", None, "x", SERVER, 1, 2)])
            exporter.send(lambda: [][1])  # what cannot be made is dropped alone
            deadline = time.monotonic() + 10
            while sum(dropped) < 2 and time.monotonic() < deadline:
                time.sleep(0.02)
            exporter.close()
            assert (sum(dropped), len(receiver.headers)) == (2, asked)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("http://h:4318", "http://h:4318/v1/traces"), ("http://h:4318/", "http://h:4318/v1/traces"), ("https://h/api/public/otel", "https://h/api/public/otel/v1/traces"),
        ("http://h/v1/traces", "http://h/v1/traces"),
    ],
)  # fmt: skip
def test_the_address_is_read_as_sdks_read_theirs(given: str, found: str) -> None:
    assert traces_url(given) == found

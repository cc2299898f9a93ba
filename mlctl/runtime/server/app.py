"""The HTTP side of the model server: POST /predict, and what operators ask (/healthz, /readyz, /metrics, /openapi.json).

It is an ASGI application without a framework: a request of a small model takes 0.1 ms, and routing, validation and
response classes would take as much again. Admission, counting and logging are the middleware's.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import choose_encoder

from mlctl.runtime import logs
from mlctl.runtime.middleware import STATE, Call, Row
from mlctl.runtime.server.batcher import Overloaded
from mlctl.runtime.server.openapi import document
from mlctl.runtime.server.payload import Asked, Kind, Reader, Refused
from mlctl.runtime.server.predictor import Predicted, Predictor
from mlctl.types.jobs.server import ServerJob

Send = Callable[[Any], Awaitable[None]]
Page = Callable[[], tuple[int, bytes, bytes]]

_JSON = b"application/json"
_TEXT = b"text/plain; version=0.0.4; charset=utf-8"
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)  # made once, not for each answer
_RETRY = (b"retry-after", b"1")


class ModelServer:
    """Answers requests of one deployment with one model. `draining` makes clients connect anew: to the successor."""

    def __init__(
        self, job: ServerJob, release: str, predictor: Predictor, registry: CollectorRegistry, kinds: Mapping[str, Kind]
    ) -> None:
        self._job = job
        self._release = release
        self._predictor = predictor
        self._registry = registry
        self._reader = Reader(job.serving, kinds)
        self._openapi = document(job, kinds)
        self.draining = False
        self._pages: dict[str, Page] = {
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/metrics": lambda: (200, generate_latest(self._registry), _TEXT),  # to who asks for no other format
            "/openapi.json": lambda: (200, _encoded(self._openapi), _JSON),
        }

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        """Answer a request. There is no /docs page: it would load its scripts from a public server."""
        path, method = scope["path"], scope["method"]
        if path == "/predict" and method == "POST":
            await self._predict(scope["state"][STATE], send)
        elif path == "/metrics" and method == "GET" and (wanted := _accepted(scope["headers"])) is not None:
            encode, kind = choose_encoder(wanted)  # OpenMetrics has exemplars: traces of requests that took so long
            await self._send(send, 200, encode(self._registry), kind.encode())
        elif path in self._pages and method in ("GET", "HEAD"):
            await self._send(send, *self._pages[path]())
        elif path == "/predict" or path in self._pages:
            told = {"code": "http.method", "message": f"{path} takes {'POST' if path == '/predict' else 'GET'}"}
            await self._send(send, 405, _encoded(told), _JSON)
        else:
            told = {
                "code": "http.not-found",
                "message": "there is /predict, /healthz, /readyz, /metrics and /openapi.json",
            }
            await self._send(send, 404, _encoded(told), _JSON)

    async def _predict(self, call: Call, send: Send) -> None:
        """Predict for keys or for given features. What takes too long the middleware ends."""
        headers: tuple[tuple[bytes, bytes], ...] = ()
        answer: dict[str, Any]
        asked: Asked | None = None
        logs.request.set((call.trace.trace_id, call.request_id))  # of this task alone
        try:
            asked = self._reader.read(call.body)
            predicted = await self._predictor.predict(asked)
            call.stages = predicted.stages
            self._account(call, asked, predicted)
            code, answer = 200, self._answer(asked, predicted)
        except Refused as refused:
            code, answer = refused.status, {"code": refused.code, "message": refused.message, "field": refused.field}
            headers = (_RETRY,) if code == 503 else ()
        except Overloaded:
            code, answer = 503, {"code": "predict.overloaded", "message": "too many rows are waiting; try again later"}
            headers = (_RETRY,)
        except Exception as error:  # the model's own failure: this request gets a 500, the server lives on
            traceback.print_exc()
            code, answer = 500, {"code": "predict.failed", "message": f"the model failed: {type(error).__name__}"}
        finally:
            if not call.predictions:
                call.rows = self._refused(asked)
        answer["request_id"] = call.request_id
        await self._send(send, code, _encoded(answer), _JSON, headers)

    def _healthz(self) -> tuple[int, bytes, bytes]:
        """Whether the process lives, and who it is: mlctl looks at the names to tell it from a stranger on its port."""
        model = self._job.model
        who = {
            "deployment": self._job.deployment, "release": self._release, "model": model.name, "version": model.version,
            "ready": not self.draining,
        }  # fmt: skip
        return 200, _encoded(who), _JSON

    def _readyz(self) -> tuple[int, bytes, bytes]:
        """Whether to send requests here. The port opens when the model has made its first prediction; then a drain says no,
        and a model that has not come back from a batch for longer than any request may take."""
        stuck = self._predictor.busy_seconds() > self._job.timeout_seconds
        ready = not self.draining and not stuck
        told = {"ready": ready, **({"reason": "the model does not come back from a batch"} if stuck else {})}
        return 200 if ready else 503, _encoded(told), _JSON

    def _answer(self, asked: Asked, predicted: Predicted) -> dict[str, Any]:
        rows = []
        for index, score in enumerate(predicted.scores):
            row: dict[str, Any] = {
                **(asked.keys[index] or {}), "score": score, "prediction": predicted.predictions[index],
            }  # fmt: skip
            if predicted.missing[index]:
                row["missing"] = predicted.missing[index]
            if predicted.defaulted[index]:
                row["defaulted"] = True
            rows.append(row)
        return {"predictions": rows, "model": self._job.model.name, "version": self._job.model.version}

    def _account(self, call: Call, asked: Asked, predicted: Predicted) -> None:
        """Tell the middleware what was predicted."""
        call.predictions = len(predicted.scores)
        call.lasting = not any(predicted.defaulted)  # the store may be back in a second
        call.scores = [score for score in predicted.scores if isinstance(score, float)]
        call.missing = [name for names in predicted.missing for name in names]
        if self._job.log is not None:
            call.rows = [self._row(asked, index, predicted) for index in range(len(predicted.scores))]

    def _refused(self, asked: Asked | None) -> Sequence[Row]:
        """What the log keeps of a request that gets no prediction: its key, when it has a single row."""
        if self._job.log is None or asked is None or len(asked.keys) != 1:
            return ()
        return [self._row(asked, 0, None)]

    def _row(self, asked: Asked, index: int, predicted: Predicted | None) -> dict[str, Any]:
        """What the log keeps of one row: its key columns, what it brought for transformations, and what came of it."""
        with_features = self._job.log is not None and self._job.log.features
        brought = {}
        if any(item.request for item in self._job.serving.transformations):
            there = with_features and len(asked.request) > index
            brought = {"request": dict(asked.request[index]) if there else None}
        row = {
            "key": asked.keys[index] or None,
            **brought,
            "features": predicted.values[index] if predicted is not None and with_features else None,
            "score": None if predicted is None else predicted.scores[index],
            "prediction": None if predicted is None else predicted.predictions[index],
        }
        if predicted is not None and predicted.defaulted[index]:
            row["defaulted"] = True
        return row

    async def _send(
        self, send: Send, code: int, body: bytes, kind: bytes, more: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), *more]
        if self.draining:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": code, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _accepted(headers: Sequence[tuple[bytes, bytes]]) -> str | None:
    """What a client takes, where that is OpenMetrics."""
    accepted = next((value.decode("latin-1") for name, value in headers if name == b"accept"), "")
    return accepted if "openmetrics" in accepted else None


def _encoded(value: Mapping[str, Any]) -> bytes:
    return _ENCODER.encode(value).encode("utf-8", "surrogatepass")

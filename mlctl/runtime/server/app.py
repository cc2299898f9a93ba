"""The HTTP side of the model server: POST /predict, and what operators ask (/healthz, /readyz, /metrics, /openapi.json)."""

from __future__ import annotations

import asyncio
import json
import re
import time
import traceback
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.requests import ClientDisconnect

from mlctl.runtime.server.batcher import Overloaded
from mlctl.runtime.server.log import PredictionWriter
from mlctl.runtime.server.metrics import Metrics
from mlctl.runtime.server.payload import Asked, Fields, Refused, parse
from mlctl.runtime.server.predictor import Predicted, Predictor
from mlctl.types.jobs.server import ServerJob

ROLE = "stable"
_MAX_BODY_BYTES = 1024 * 1024
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:+/=-]{1,128}")


@dataclass
class Call:
    """One prediction request on its way through: what is known of it so far, for the answer and for the log."""

    request_id: str
    started: float = field(default_factory=time.perf_counter)
    asked: Asked | None = None
    predicted: Predicted | None = None


class ModelServer:
    """Answers requests of one deployment with one model. `draining` makes clients connect anew: to the successor."""

    def __init__(
        self, job: ServerJob, release: str, predictor: Predictor, metrics: Metrics, log: PredictionWriter | None
    ) -> None:
        self._job = job
        self._release = release
        self._predictor = predictor
        self._metrics = metrics
        self._log = log
        self.draining = False

    def asgi(self) -> FastAPI:
        """The application. There is no /docs page: it would load its scripts from a public server."""
        app = FastAPI(
            title=self._job.deployment,
            version=f"{self._job.model.name} {self._job.model.version}",
            docs_url=None,
            redoc_url=None,
        )
        app.add_api_route(
            "/predict", self.predict, methods=["POST"], response_class=Response, openapi_extra=_openapi(self._job)
        )
        app.add_api_route("/healthz", self.healthz, methods=["GET"], response_class=Response)
        app.add_api_route("/readyz", self.readyz, methods=["GET"], response_class=Response)
        app.add_api_route("/metrics", self.metrics, methods=["GET"], response_class=Response)
        return app

    async def predict(self, request: Request) -> Response:
        """Predict for keys or for given features."""
        given = request.headers.get("x-request-id", "")
        call = Call(given if _REQUEST_ID.fullmatch(given) else str(uuid.uuid4()))
        try:
            async with asyncio.timeout(self._job.timeout_seconds):
                call.asked = parse(await _body(request), self._job.serving)
                call.predicted = await self._predictor.predict(call.asked)
            code, answer = 200, self._answer(call.asked, call.predicted, call)
        except Refused as refused:
            code, answer = refused.status, {"code": refused.code, "message": refused.message, "field": refused.field}
        except Overloaded:
            code, answer = 503, {"code": "predict.overloaded", "message": "too many rows are waiting; try again later"}
        except TimeoutError:
            code, answer = (
                504,
                {"code": "predict.timeout", "message": f"no prediction within {self._job.timeout_seconds:g} s"},
            )
        except ClientDisconnect:
            code, answer = (
                499,
                {"code": "predict.disconnected", "message": "the client went away before its request was read"},
            )
        except Exception as error:  # the model's own failure: this request gets a 500, the server lives on
            traceback.print_exc()
            code, answer = 500, {"code": "predict.failed", "message": f"the model failed: {type(error).__name__}"}
        self._account(call, code)
        headers = {"x-request-id": call.request_id, **({"retry-after": "1"} if code == 503 else {})}
        return self._json({**answer, "request_id": call.request_id}, code, headers)

    async def healthz(self) -> Response:
        """Whether the process lives, and who it is: mlctl looks at the names to tell it from a stranger on its port."""
        model = self._job.model
        return self._json(
            {
                "deployment": self._job.deployment,
                "release": self._release,
                "model": model.name,
                "version": model.version,
                "ready": not self.draining,
            }
        )

    async def readyz(self) -> Response:
        """Whether to send requests here. The port opens when the model has made its first prediction, so only a drain says no."""
        return self._json({"ready": not self.draining}, 503 if self.draining else 200)

    async def metrics(self) -> Response:
        """The metrics, for Prometheus."""
        return Response(
            self._metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8", headers=self._connection()
        )

    def _answer(self, asked: Asked, predicted: Predicted, call: Call) -> dict[str, Any]:
        model = self._job.model
        predictions = []
        for key, score, prediction, missing in zip(
            asked.keys, predicted.scores, predicted.predictions, predicted.missing, strict=True
        ):
            predictions.append(
                {**(key or {}), "score": score, "prediction": prediction, **({"missing": missing} if missing else {})}
            )
        return {"predictions": predictions, "model": model.name, "version": model.version}

    def _account(self, call: Call, code: int) -> None:
        """Count a request and log it: a row for each prediction, or one row for a request that got none."""
        seconds = time.perf_counter() - call.started
        self._metrics.request(code, seconds)
        if call.predicted is not None:
            self._metrics.predicted(len(call.predicted.scores))
            for missing in call.predicted.missing:
                for name in missing:
                    self._metrics.missing(name)
        if self._log is None or self._job.log is None:
            return
        common = {
            "ts": datetime.now(UTC).isoformat(timespec="microseconds"), "request_id": call.request_id, "deployment": self._job.deployment,
            "model": self._job.model.name, "version": self._job.model.version, "role": ROLE,
        }  # fmt: skip
        asked, predicted = call.asked, call.predicted
        if asked is None or predicted is None:
            single = asked if asked is not None and len(asked.keys) == 1 else None
            self._log.write({**common, **self._row(single, 0, None), "latency_seconds": seconds, "code": code})
            return
        for index in range(len(predicted.scores)):
            self._log.write({**common, **self._row(asked, index, predicted), "latency_seconds": seconds, "code": code})

    def _row(self, asked: Asked | None, index: int, predicted: Predicted | None) -> dict[str, Any]:
        """What the log keeps of one row: its key columns, what it brought for transformations, and what came of it."""
        log = self._job.log
        with_features = log is not None and log.features
        brought = {}
        if any(item.request for item in self._job.serving.transformations):
            there = with_features and asked is not None and len(asked.request) > index
            brought = {"request": dict(asked.request[index]) if there and asked is not None else None}
        return {
            "key": None if asked is None or not asked.keys[index] else asked.keys[index],
            **brought,
            "features": dict(predicted.values[index]) if predicted is not None and with_features else None,
            "score": None if predicted is None else predicted.scores[index],
            "prediction": None if predicted is None else predicted.predictions[index],
        }

    def _json(self, value: Mapping[str, Any], code: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        return Response(
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass"),
            code,
            {**self._connection(), **(headers or {})},
            "application/json",
        )

    def _connection(self) -> dict[str, str]:
        return {"connection": "close"} if self.draining else {}


async def _body(request: Request) -> bytes:
    """The body, read only up to the limit. Raises Refused."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > _MAX_BODY_BYTES:
            raise Refused(413, "predict.too-large", f"the body is larger than {_MAX_BODY_BYTES} bytes", "body")
        parts.append(part)
    return b"".join(parts)


def _openapi(job: ServerJob) -> dict[str, Any]:
    """What /openapi.json says of the body, so that clients can be generated for this very model."""
    serving = job.serving
    instance = {
        "type": "object",
        "required": serving.columns,
        "properties": {name: {"type": ["number", "null"]} for name in serving.columns},
    }
    forms: list[dict[str, Any]] = [
        {"type": "object", "required": ["instances"], "properties": {"instances": {"type": "array", "items": instance}}}
    ]
    fields = Fields(serving)
    if fields.names:
        types = {name: {"type": "integer" if key.type == "int64" else "string"} for name, key in fields.keys.items()}
        brought = {
            name: {"type": ["integer" if kind == "int64" else "number", "null"]}
            for name, kind in fields.request.items()
        }
        row = {
            "type": "object",
            "required": fields.names,
            "properties": {**types, **brought},
            "additionalProperties": False,
        }
        alone = list(types.values()) if len(fields.names) == 1 else []  # a single key may stand for itself
        items = {"oneOf": [*alone, row]} if alone else row
        forms.append(row)
        forms.append(
            {"type": "object", "required": ["keys"], "properties": {"keys": {"type": "array", "items": items}}}
        )
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": {"oneOf": forms}}}}}

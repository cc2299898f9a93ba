"""A program that serves the OpenAI API without a model: it says the prompt again, word by word, in its own time.

`python small_engine.py --host H --port P --model DIR --name NAME [--middleware PACKAGE.CLASS ...]`, or with the arguments that
`vllm serve` takes. Environment: MUTE, the name of a model that answers nothing, START_SECONDS, WORD_SECONDS for each word, CHILDREN that it leaves running, DEAF to ignore
SIGTERM, CRASH to end at once.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvicorn

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]


class SmallEngine:
    def __init__(self, name: str) -> None:
        self.name = name
        self.adapters: dict[str, str] = {}
        self.finished: list[str] = []
        self.cut: list[str] = []
        self.seconds = float(os.environ.get("WORD_SECONDS", "0.01"))

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = b""
        if scope["method"] == "POST":
            more = True
            while more:
                message = await receive()
                body, more = body + message.get("body", b""), message.get("more_body", False)
        asked = json.loads(body) if body else {}
        match scope["path"]:
            case "/health":
                await say(send, 200, b"")
            case "/metrics":
                await say(send, 200, b"small_engine_up 1\n")
            case "/seen":
                said = {"finished": self.finished, "cut": self.cut, "environment": dict(os.environ), "argv": sys.argv}
                await say(send, 200, {**said, "pid": os.getpid(), "adapters": self.adapters})
            case "/v1/models":
                known = {self.name: "the base", **self.adapters}
                await say(
                    send, 200, {"object": "list", "data": [{"id": name, "root": root} for name, root in known.items()]}
                )
            case "/v1/load_lora_adapter":
                await self.load(asked, send)
            case "/v1/unload_lora_adapter":
                self.adapters.pop(asked["lora_name"], None)
                await say(send, 200, b"Success")
            case "/v1/chat/completions":
                await self.chat(asked, dict(scope["headers"]), receive, send)
            case path:
                await say(send, 404, {"error": {"message": f"nothing at {path}"}})

    async def load(self, asked: dict[str, Any], send: Send) -> None:
        if asked["lora_name"] in self.adapters:
            await say(send, 400, {"error": {"message": f"`{asked['lora_name']}` has already been loaded"}})
        elif not (Path(asked["lora_path"]) / "adapter_config.json").is_file():
            await say(send, 404, {"error": {"message": f"no adapter in {asked['lora_path']}"}})
        else:
            self.adapters[asked["lora_name"]] = asked["lora_path"]
            await say(send, 200, b"Success")

    async def chat(self, asked: dict[str, Any], headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
        model, name = asked.get("model"), headers.get(b"x-request-id", b"none").decode()
        if model not in (self.name, *self.adapters):
            await say(send, 404, {"error": {"message": f"The model `{model}` does not exist."}})
            return
        if asked["messages"][-1]["content"] == "silence":
            await asyncio.sleep(3600)
        answering = asyncio.ensure_future(self.answer(asked, name, send))
        leaving = asyncio.ensure_future(receive())
        await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        if answering.done():
            await answering
            self.finished.append(name)
        else:
            answering.cancel()
            self.cut.append(name)

    async def answer(self, asked: dict[str, Any], name: str, send: Send) -> None:
        words = [] if asked["model"] == os.environ.get("MUTE") else str(asked["messages"][-1]["content"]).split()
        kind = "chat.completion.chunk" if asked.get("stream") else "chat.completion"
        base = {"id": f"chatcmpl-{name}", "model": asked["model"], "created": int(time.time()), "object": kind}
        usage = {"prompt_tokens": len(words), "completion_tokens": len(words), "total_tokens": 2 * len(words)}
        if not asked.get("stream"):
            await asyncio.sleep(self.seconds * len(words))
            choice = {"index": 0, "message": {"role": "assistant", "content": " ".join(words)}, "finish_reason": "stop"}
            await say(send, 200, {**base, "choices": [choice], "usage": usage})
            return
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for word in words:
            await self.chunk(send, {**base, "choices": [{"index": 0, "delta": {"content": f"{word} "}}]})
            await asyncio.sleep(self.seconds)
        await self.chunk(send, {**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        if (asked.get("stream_options") or {}).get("include_usage"):
            await self.chunk(send, {**base, "choices": [], "usage": usage})
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})

    async def chunk(self, send: Send, said: dict[str, Any]) -> None:
        data = b"data: " + json.dumps(said).encode() + b"\n\n"
        await send({"type": "http.response.body", "body": data, "more_body": True})


async def say(send: Send, status: int, body: Any) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = b"text/plain" if isinstance(body, bytes) else b"application/json"
    headers = [(b"content-type", kind), (b"content-length", str(len(data)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data})


def options(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    """The options with a value, and the middleware; those of vLLM by the names that we have for them."""
    if arguments[:1] == ["-m"]:
        assert arguments[:3] == ["-m", "vllm.entrypoints.cli.main", "serve"], arguments
        arguments = ["--model", arguments[3], *arguments[4:]]
    found: dict[str, str] = {}
    middleware: list[str] = []
    for place, word in enumerate(arguments):
        if word == "--middleware":
            middleware.append(arguments[place + 1])
        elif word.startswith("--") and place + 1 < len(arguments):
            found[word[2:].replace("served-model-name", "name")] = arguments[place + 1]
    return found, middleware


if __name__ == "__main__":
    given, around = options(sys.argv[1:])
    for _ in range(int(os.environ.get("CHILDREN", "0"))):
        subprocess.Popen(["/bin/sh", "-c", "trap '' TERM; while :; do sleep 0.2; done"])
    if "CRASH" in os.environ:
        sys.exit("small engine: error: unrecognized arguments: --nonsense")
    if "DEAF" in os.environ:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("small engine: loading the model", flush=True)
    time.sleep(float(os.environ.get("START_SECONDS", "0")))
    app: Any = SmallEngine(given["name"])
    for dotted in around:
        package, _, item = dotted.rpartition(".")
        app = getattr(importlib.import_module(package), item)(app)
    config = uvicorn.Config(
        app,
        host=given["host"],
        port=int(given["port"]),
        lifespan="off",
        log_level="warning",
        timeout_graceful_shutdown=20,
    )
    server = uvicorn.Server(config)
    if "DEAF" in os.environ:
        server.handle_exit = lambda *_: None  # type: ignore[method-assign]
    server.run()

"""What a language model answered, read from the response as it passes: tokens, time to the first one, why it ended."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

_MARK, _DONE = b"data:", b"[DONE]"
_LONGEST_EVENT = (
    4 * 1024 * 1024
)  # bytes of one event, or of an answer that is not streamed; a longer one is not looked into
_TEXTS = ("choices", "content", "output")  # where a whole answer holds its texts; a vector has none of them
_LAST_EVENTS = ("response.completed", "response.incomplete", "response.failed", "message_stop")
_CALLS = ("function_call", "tool_use", "server_tool_use", "mcp_call")
_CUT = ("length", "max_tokens", "max_output_tokens")  # by the APIs of OpenAI and Anthropic
_TEXT = 64 * 1024  # characters of an answer that the log keeps, where it keeps any


class Answer:
    """Fed with the chunks of one response. What it cannot read it leaves out; it never raises."""

    def __init__(self, streamed: bool, started: float) -> None:
        self.streamed = streamed
        self._started = started
        self._first: float | None = None
        self._rest = b""
        self._pieces = 0
        self._usage: dict[str, Any] = {}
        self._id: str | None = None
        self._model: str | None = None
        self._finish: str | None = None
        self._whole = False  # whether it came to its end
        self._wordless = True
        self._text: list[str] = []
        self._digest = hashlib.blake2b(digest_size=8)

    def feed(self, chunk: bytes) -> None:
        """One more chunk, as it is sent."""
        if len(self._rest) + len(chunk) > _LONGEST_EVENT:
            self._rest = b""
            return
        self._rest += chunk
        if not self.streamed:
            return
        *events, self._rest = self._rest.replace(b"\r\n", b"\n").split(b"\n\n")
        for event in events:
            for line in event.split(b"\n"):
                if not line.startswith(_MARK):
                    continue
                if (data := line[len(_MARK) :].strip()) == _DONE:
                    self._whole = True
                else:
                    self._event(data)

    def text(self) -> str:
        """What was said, as far as the log keeps texts."""
        return "".join(self._text)[:_TEXT]

    def outcome(self) -> tuple[bool, bool] | None:
        """Of a text that was asked for and came to its end: whether it is empty, and whether it was cut off at its length.

        A stream that its client left says nothing of the model.
        """
        if not self._whole:
            return None
        return self._wordless, self._finish in _CUT

    def result(self) -> dict[str, Any] | None:
        """What is known at the end, but for the text; None when this was no language model's answer."""
        if not self.streamed:
            self._event(self._rest)
        usage = self._usage
        # without a count of its own, a piece of a stream counts as a token
        tokens = usage.get("completion_tokens", usage.get("output_tokens", self._pieces if self.streamed else None))
        if not usage and not self._pieces and self._finish is None and not self._whole:
            return None  # one that ended without a word is an empty answer
        return {
            "prompt_tokens": usage.get("prompt_tokens", usage.get("input_tokens")),
            "completion_tokens": tokens,
            "finish_reason": self._finish,
            "stream": self.streamed,
            "ttft_seconds": None if self._first is None else self._first - self._started,
            "answer_digest": self._digest.hexdigest() if self._pieces else None,
            "response_id": self._id,
            "response_model": self._model,
            "cached_tokens": usage.get("cached_tokens", usage.get("cache_read_input_tokens")),
            "reasoning_tokens": usage.get("reasoning_tokens"),
        }

    def _event(self, data: bytes) -> None:
        try:
            event = json.loads(data)
        except (ValueError, RecursionError):
            return
        if not isinstance(event, dict):
            return
        for holder in (event, event.get("response"), event.get("message")):
            if isinstance(holder, dict) and isinstance(holder.get("usage"), dict):
                self._used(holder["usage"])
            if isinstance(holder, dict):
                self._finish = _named(holder.get("incomplete_details") or {}, "reason") or self._finish
                self._id, self._model = _named(holder, "id") or self._id, _named(holder, "model") or self._model
        pieces, reason = _said(event)
        self._wordless = self._wordless and not _calls(event)
        last = event.get("type") in _LAST_EVENTS
        texts = not self.streamed and any(_objects(event.get(name)) == event.get(name) for name in _TEXTS)
        self._whole = self._whole or last or texts or reason is not None
        self._finish = reason or self._finish
        for piece in pieces:
            if self._first is None and self.streamed:
                self._first = time.perf_counter()
            self._pieces += 1
            self._wordless = self._wordless and not piece.strip()
            self._digest.update(piece.encode("utf-8", "surrogatepass"))
            self._text.append(piece)

    def _used(self, usage: dict[str, Any]) -> None:
        """Counts of tokens, those of their parts among them."""
        parts = [usage, *(value for name, value in usage.items() if name.endswith("_details"))]
        for part in (item for item in parts if isinstance(item, dict)):
            self._usage |= {name: value for name, value in part.items() if isinstance(value, int)}


def _calls(event: dict[str, Any]) -> bool:
    """Whether a tool is called in an event or a whole answer, in the forms of OpenAI's responses and Anthropic's messages."""
    parts = [
        *_objects(event.get("content")),
        *_objects(event.get("output")),
        event.get("content_block"),
        event.get("item"),
    ]
    return any(isinstance(part, dict) and part.get("type") in _CALLS for part in parts)


def _named(holder: Any, field: str) -> str | None:
    value = holder.get(field) if isinstance(holder, dict) else None
    return value if isinstance(value, str) and value else None


def _said(event: dict[str, Any]) -> tuple[list[str], str | None]:
    """The pieces of text in an event or a whole answer, and why it ended, in the forms of OpenAI's and Anthropic's APIs."""
    found: list[Any] = []
    reason = event.get("stop_reason")
    for choice in _objects(event.get("choices")):
        reason = choice.get("finish_reason") or reason
        said = choice.get("delta") or choice.get("message")
        said = said if isinstance(said, dict) else choice
        found.append(said.get("reasoning_content") or said.get("reasoning"))  # as vLLM called it, and calls it now
        found += [said.get(name) for name in ("content", "text")]
        if said.get("tool_calls"):
            found.append(json.dumps(said["tool_calls"], sort_keys=True))
    delta = event.get("delta")
    if isinstance(delta, dict):  # Anthropic's messages, streamed
        found.append(delta.get("text"))
        reason = delta.get("stop_reason") or reason
    elif str(event.get("type", "")).endswith("text.delta"):  # OpenAI's responses, streamed
        found.append(delta)
    for part in (
        *_objects(event.get("content")),
        *(p for item in _objects(event.get("output")) for p in _objects(item.get("content"))),
    ):
        found.append(part.get("text"))
    return [piece for piece in found if isinstance(piece, str) and piece], reason if isinstance(reason, str) else None


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []

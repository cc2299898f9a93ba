"""What a language model was asked and said, as far as it may be kept: not at all, as digests, masked, or as it is.

It is made in the thread that writes it: to read and mask a long prompt takes longer than to pass its request on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from .redaction import masked

NONE, HASH, REDACTED, FULL = "none", "hash", "redacted", "full"
CAPTURES = (NONE, HASH, REDACTED, FULL)
_MOST = 64 * 1024  # characters of a text that are kept
_MARGIN = 512  # what is masked begins before the cut
_SYSTEM = ("system", "developer")

Json = dict[str, Any]


class Content:
    """A request's body and the answer's text. Reading it twice is done once."""

    def __init__(self, body: bytes, answer: str | None, capture: str) -> None:
        self._body, self._answer, self._capture = body, answer, capture
        self._asked: Json | None = None

    @property
    def size(self) -> int:
        """What it holds in memory, in bytes."""
        return len(self._body) + len(self._answer or "")

    def asked(self) -> Json:
        """The request, empty when it is no JSON object."""
        if self._asked is None:
            try:
                found = json.loads(self._body)
            except (ValueError, RecursionError):
                found = None
            self._asked = found if isinstance(found, dict) else {}
        return self._asked

    def row(self) -> Json:
        """For the prediction log."""
        if self._capture == NONE:
            return {}
        system, messages = _spoken(self.asked())
        prompt = "\n".join(text for _, text in messages)
        found: Json = {"prompt_digest": digest(prompt), "system_digest": digest(system) if system else None}
        found |= {"prompt_characters": len(prompt), "json_asked": _wants_json(self.asked())}
        if self._answer is not None:
            found |= {"answer_characters": len(self._answer), "answer_json": _is_json(self._answer)}
        if self._capture == HASH:
            return found
        texts = {"prompt": prompt, "system": system or None, "answer": self._answer}
        return {**found, **{name: None if text is None else self._kept(text) for name, text in texts.items()}}

    def attributes(self, finish: str | None) -> Json:
        """For a span, by the GenAI conventions, where content is opted in to."""
        if self._capture == NONE:
            return {}
        system, messages = _spoken(self.asked())
        if self._capture == HASH:
            prompt = "\n".join(text for _, text in messages)
            return {"mlctl.prompt.digest": digest(prompt)}
        told = [{"role": role, "parts": [_part(self._kept(text))]} for role, text in messages]
        found: Json = {"gen_ai.input.messages": _text(told)}
        if system:
            found["gen_ai.system_instructions"] = _text([_part(self._kept(system))])
        if self._answer is not None:
            said = {"role": "assistant", "parts": [_part(self._kept(self._answer))], "finish_reason": finish or ""}
            found["gen_ai.output.messages"] = _text([said])
        return found

    def _kept(self, text: str) -> str:
        return masked(text[: _MOST + _MARGIN])[:_MOST] if self._capture == REDACTED else text[:_MOST]


def digest(text: str) -> str:
    """Equal for equal texts, and nothing else is told of them."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _spoken(asked: Mapping[str, Any]) -> tuple[str, list[tuple[str, str]]]:
    """The system's instructions, and who said what, in the forms of OpenAI's and Anthropic's APIs."""
    system = [_plain(asked[name]) for name in ("system", "instructions") if asked.get(name)]
    said: list[tuple[str, str]] = []
    for name in ("messages", "input"):
        for message in asked[name] if isinstance(asked.get(name), list) else ():
            if isinstance(message, dict):
                role, text = str(message.get("role") or "user"), _plain(message.get("content"))
                (system.append(text) if role in _SYSTEM else said.append((role, text)))
            elif isinstance(message, str):
                said.append(("user", message))
    for name in ("prompt", "input"):
        if isinstance(asked.get(name), str):
            said.append(("user", asked[name]))
    if isinstance(asked.get("prompt"), list):
        said += [("user", item) for item in asked["prompt"] if isinstance(item, str)]
    return "\n".join(system), said


def _plain(content: Any) -> str:
    """The text of a message, which may be in parts; pictures and the like are named by their type."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return "" if content is None else _text(content)
    parts: Sequence[Any] = content
    return "\n".join(
        str(part.get("text") if isinstance(part.get("text"), str) else f"[{part.get('type', 'part')}]")
        for part in parts
        if isinstance(part, dict)
    )


def _wants_json(asked: Mapping[str, Any]) -> bool:
    form = asked.get("response_format")
    return isinstance(form, dict) and str(form.get("type", "")).startswith("json")


def _is_json(text: str) -> bool:
    """Whether an answer is a JSON object or list."""
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _part(text: str) -> Json:
    return {"type": "text", "content": text}


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)

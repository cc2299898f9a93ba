"""A prediction log of a language model, as the middleware writes it, with whatever drift a test wants in the last week."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any

NOW = datetime(2026, 5, 20, tzinfo=UTC)
PREDICTIONS = "logs/chat"
Edit = Callable[[dict[str, Any], random.Random], None]

_SUBJECTS = {
    "invoices": ["invoice", "amount", "due", "payment", "reminder", "customer", "overdue", "account"],
    "travel": ["train", "ticket", "hotel", "booking", "airport", "departure", "luggage", "platform"],
}  # fmt: skip


def text(subject: str, words: int, draw: random.Random) -> str:
    """Some words about something."""
    common = ["please", "tell", "me", "how", "the", "and", "what", "about", "my", "this", "for"]
    return " ".join(draw.choice(_SUBJECTS[subject] if draw.random() < 0.4 else common) for _ in range(words))


def row(moment: datetime, number: int, draw: random.Random) -> dict[str, Any]:
    """One request, answered."""
    prompt = text("invoices", draw.randint(5, 40), draw)
    answer = text("invoices", draw.randint(10, 60), draw)
    return {
        "ts": moment.isoformat(), "request_id": f"r{number}", "trace_id": "0" * 32, "schema_version": 2, "deployment": "chat", "model": "helper",
        "version": "1", "role": "stable", "variant": "stable", "unit": f"u{number % 400}", "request_model": "helper", "template": "support@1",
        "prompt_tokens": 20 + len(prompt.split()), "completion_tokens": len(answer.split()), "finish_reason": "stop" if draw.random() < 0.95 else "length",
        "stream": False, "ttft_seconds": None, "answer_digest": blake2b(answer.encode(), digest_size=8).hexdigest(), "response_id": None,
        "response_model": "gpt-4o-2024-08-06", "cached_tokens": None, "reasoning_tokens": None, "system_digest": "aa" * 8, "json_asked": False,
        "prompt_characters": len(prompt), "answer_characters": len(answer), "answer_json": False, "prompt": prompt, "system": "Be kind.",
        "answer": answer, "latency_seconds": 0.4, "code": 200,
    }  # fmt: skip


def write(root: Path, now: Edit | None = None, *, days: int = 28, a_day: int = 30, seed: int = 1) -> None:
    """A log of so many days up to NOW. `now` changes requests of the last seven."""
    draw = random.Random(seed)
    folder = root / PREDICTIONS
    folder.mkdir(parents=True, exist_ok=True)
    for ago in range(days, 0, -1):
        start = NOW - timedelta(days=ago)
        with open(folder / f"{start:%Y-%m-%d}.jsonl", "w", encoding="utf-8") as stream:
            for index in range(a_day):
                found = row(start + timedelta(seconds=60 + index * 80_000 / a_day), ago * a_day + index, draw)
                if ago <= 7 and now is not None:
                    now(found, draw)
                stream.write(json.dumps(found) + "\n")

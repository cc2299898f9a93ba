"""Ask a judge through MLflow: a rubric, two verdicts in both orders, a fixed model and seed. What it said is kept."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from mlctl.runtime.monitor.asked import Asked, key_of
from mlctl.runtime.report import Report
from mlctl.types.jobs.monitor import MonitorJob
from mlctl.types.jobs.monitor_llm import JudgePart

FILE = "judge.jsonl"
PASS, FAIL = "pass", "fail"
_ORDERS = ((PASS, FAIL), (FAIL, PASS))
_IN_A_ROW = 5  # failures after which nobody is asked any more
_FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Exchange:
    """What was asked and answered."""

    prompt: str
    answer: str

    @property
    def place(self) -> bytes:
        """Where it stands in an order that is the same each time, and says nothing of what it is."""
        return blake2b(f"{self.prompt}\0{self.answer}".encode("utf-8", "surrogatepass"), digest_size=8).digest()


@dataclass(frozen=True, slots=True)
class Ruling:
    """The verdicts in both orders. An answer passes when it passes in both: what depends on the order is no pass."""

    first: bool
    second: bool

    @property
    def passed(self) -> bool:
        """For all rates."""
        return self.first and self.second

    @property
    def consistent(self) -> bool:
        """Whether the order of the options made no difference."""
        return self.first == self.second


class Judge:
    """Asks for what is not known yet, several at once."""

    def __init__(self, job: MonitorJob, part: JudgePart, report: Report) -> None:
        self._job, self._part, self._report = job, part, report
        self._kept = Asked(Path(part.kept) / FILE)
        self._judges: list[Any] | None = None
        self._in_a_row = 0
        self._failures: set[str] = set()
        self._lock = threading.Lock()

    @property
    def failure(self) -> str | None:
        """Why some rulings are missing: one of the reasons, the same one whenever this run is made again."""
        return min(self._failures, default=None)

    def rule(self, exchanges: Sequence[Exchange], what: str, *, anew: bool = False) -> list[Ruling | None]:
        """A ruling on each; None where the judge gave none. `anew` asks again, once in a run."""
        orders = range(len(_ORDERS))
        wanted = list(dict.fromkeys((item, order) for item in exchanges for order in orders))
        mark = self._job.until if anew else ""
        self._report.progress(f"judging {what}", 0, len(wanted), "verdicts")
        with ThreadPoolExecutor(self._part.parallel) as pool:
            found = dict(zip(wanted, pool.map(lambda pair: self._verdict(*pair, mark=mark), wanted), strict=True))
        self._report.progress(f"judging {what}", len(wanted), len(wanted), "verdicts")
        rulings = ([found[item, order] for order in orders] for item in exchanges)
        return [None if None in said else Ruling(*(verdict == PASS for verdict in said)) for said in rulings]

    def _verdict(self, item: Exchange, order: int, *, mark: str) -> str | None:
        part = self._part
        place = urlsplit(part.url)  # whoever is asked, without what may be a secret in the address
        key = key_of(
            place.hostname,
            place.port,
            place.path,
            part.model,
            part.rubric,
            part.seed,
            order,
            item.prompt,
            item.answer,
            mark,
        )
        failed = key_of(_FAILED, key, self._job.until)  # this run is made again as it was
        known, why = self._kept.get(key), self._kept.get(failed)
        if why is not None:
            self._failures |= {why} - {""}
            return None
        if known is not None or not self._job.asks:
            return None if known is None else str(known)
        if self._in_a_row < _IN_A_ROW:
            try:
                said = self._ask(item, order)
            except Exception as error:  # of MLflow, of its HTTP client, of an answer that is none: all of them say why
                why = f"{type(error).__name__}: {error}"[:300]
                with self._lock:
                    self._in_a_row += 1
                    self._failures.add(why)
            else:
                self._in_a_row = 0
                self._kept.put(key, said)
                return said
        self._kept.put(failed, why or "")
        return None

    def _ask(self, item: Exchange, order: int) -> str:
        with self._lock:
            if self._judges is None:
                _reach(self._part)
                self._judges = [_made(self._part, options) for options in _ORDERS]
        found = self._judges[order](inputs={"prompt": item.prompt}, outputs=item.answer)
        if found.error is not None:
            raise ValueError(str(found.error.error_message))
        value = str(getattr(found.value, "value", found.value))
        if value not in (PASS, FAIL):
            raise ValueError(f"the judge said {value[:80]!r}, and neither `{PASS}` nor `{FAIL}`")
        return value


def _reach(part: JudgePart) -> None:
    """Raise OSError when nobody listens there: MLflow would try for minutes."""
    place = urlsplit(part.url)
    port = place.port or (443 if place.scheme == "https" else 80)
    socket.create_connection((str(place.hostname), port), timeout=part.timeout_seconds).close()


def _made(part: JudgePart, options: tuple[str, str]) -> Any:
    """A judge whose options come in one order."""
    # MLflow takes the key from the environment of its process; one that is there already is meant for somebody else
    os.environ["OPENAI_API_KEY"] = part.api_key or "none"
    os.environ["MLFLOW_GATEWAY_ROUTE_TIMEOUT_SECONDS"] = str(max(1, round(part.timeout_seconds)))
    from mlflow.genai.judges import make_judge

    first, second = options
    return make_judge(
        name="answer",
        instructions=(
            f"{part.rubric}\n\nThe request: {{{{ inputs }}}}\nThe answer to judge: {{{{ outputs }}}}\n\n"
            f"Rule `{first}` or `{second}`: `{PASS}` when the answer meets the rubric, `{FAIL}` when it does not."
        ),
        model=f"openai:/{part.model}",
        base_url=_endpoint(part.url),
        feedback_value_type=Literal[first, second],
        inference_params={"temperature": 0, "seed": part.seed},
    )


def _endpoint(url: str) -> str:
    """MLflow posts to the address itself."""
    plain = url.rstrip("/")
    return plain if plain.endswith("/chat/completions") else f"{plain}/chat/completions"

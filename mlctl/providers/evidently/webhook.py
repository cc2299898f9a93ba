"""Tell somebody of an alarm by HTTP: tried a few times, never for long, and never an error for whoever asked."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import IO, Any

from mlctl.types.secret import Secrets

ID_HEADER = "Idempotency-Key"  # an alarm that comes twice has the same; the body holds it too, as `id`
_FIRST_PAUSE_SECONDS = 0.5
_AGAIN = (408, 425, 429)  # of 4xx only these may be otherwise the next time


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came of it. `status` is the last HTTP status, None when there was no answer at all."""

    delivered: bool
    tries: int
    status: int | None = None
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def deliver(
    url: str,
    body: Mapping[str, Any],
    *,
    id: str,
    headers: Mapping[str, str],
    timeout: float,
    retries: int,
    secrets: Secrets,
    wait: Callable[[float], bool],
) -> Delivery:
    """POST the body as JSON. `wait` sleeps, and is true when somebody wants this to end."""
    data = json.dumps(body, ensure_ascii=False, allow_nan=False, default=str).encode("utf-8", "surrogatepass")
    asked = urllib.request.Request(  # noqa: S310 - the spec takes http and https only
        url, data, {"User-Agent": "mlctl", **headers, "Content-Type": "application/json", ID_HEADER: id}, method="POST"
    )
    last = Delivery(False, 0)
    for number in range(retries + 1):
        if number and wait(_FIRST_PAUSE_SECONDS * 2 ** (number - 1)):
            break
        last = _try(asked, timeout, number + 1, secrets)
        if last.delivered or (last.status is not None and 400 <= last.status < 500 and last.status not in _AGAIN):
            break
    return last


def _try(asked: urllib.request.Request, timeout: float, number: int, secrets: Secrets) -> Delivery:
    """One try. A redirection is not followed: it would lead the alarm, and its headers, to somewhere nobody has named."""
    try:
        with _OPENER.open(asked, timeout=timeout) as answer:
            return Delivery(True, number, int(answer.status))
    except urllib.error.HTTPError as error:
        error.close()
        return Delivery(False, number, error.code, f"it answered {error.code}")
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = getattr(error, "reason", None) or error
        return Delivery(False, number, None, str(secrets.hidden(f"{type(why).__name__}: {why}")))


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> None:
        return None


_OPENER = urllib.request.build_opener(_Stay)

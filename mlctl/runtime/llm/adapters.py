"""LoRA adapters, loaded into a running engine and out of it.

Each version has a name of its own. vLLM can also put another adapter in the place of one (`load_inplace`), but then requests
under way go on with other weights in the middle, and their answers are of no version.
"""

from __future__ import annotations

import http.client
import json
from pathlib import Path

from mlctl.processes.engine import Kept
from mlctl.runtime.llm.inside.guard import KEY_HEADER
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.llm import Adapter

_SECONDS = 120.0  # an adapter of a large model on a slow disk
_LOAD, _UNLOAD, _LIST = "/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/v1/models"


class Adapters:
    """The adapters of one engine. `token` is what its clients have to send, where it asks for that itself."""

    def __init__(self, kept: Kept, token: str | None) -> None:
        self._kept, self._token = kept, token

    def load(self, adapter: Adapter, root: Path) -> None:
        """Have it answer to its name; nothing happens when it does already. Raises MlctlError."""
        folder = (root / adapter.folder).resolve()
        if not folder.is_dir():
            raise _failed(adapter, f"its folder `{adapter.folder}` does not exist")
        status, said = self._ask("POST", _LOAD, {"lora_name": adapter.name, "lora_path": str(folder)})
        if status != 200 and "already been loaded" not in said:
            raise _failed(adapter, said)

    def unload(self, name: str) -> None:
        """Have nothing answer to a name any more. Requests that are under way are finished."""
        self._ask("POST", _UNLOAD, {"lora_name": name})

    def taken(self, adapter: Adapter, root: Path) -> bool:
        """Whether the engine has another adapter by that name."""
        status, said = self._ask("GET", _LIST, None)
        try:
            found = (
                {str(item["id"]): str(item.get("root")) for item in json.loads(said)["data"]} if status == 200 else {}
            )
        except (ValueError, KeyError, TypeError):
            return False
        return found.get(adapter.name, "") not in ("", str((root / adapter.folder).resolve()))

    def _ask(self, method: str, path: str, body: dict[str, str] | None) -> tuple[int, str]:
        """What the engine answers: its status (0 for none), and its words."""
        headers = {"content-type": "application/json", KEY_HEADER.decode(): self._kept.key}
        if self._token is not None:
            headers["authorization"] = f"Bearer {self._token}"
        connection = http.client.HTTPConnection(self._kept.host, self._kept.port, timeout=_SECONDS)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            return 0, f"the engine does not answer: {type(error).__name__}: {error}"
        finally:
            connection.close()
        return response.status, text if response.status == 200 else _message(text)


def _message(text: str) -> str:
    try:
        return str(json.loads(text)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return text.strip()[:500]


def _failed(adapter: Adapter, why: str) -> MlctlError:
    return MlctlError.of(
        "llm.no-adapter",
        f"the engine could not load the adapter `{adapter.name}`",
        why,
        "see the engine's own words in its log, `mlctl logs`",
    )

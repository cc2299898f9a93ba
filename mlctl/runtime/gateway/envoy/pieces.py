"""What every part of Envoy's configuration is made of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

EXTENSIONS = "type.googleapis.com/envoy.extensions"


def http_filter(name: str, **settings: Any) -> dict[str, Any]:
    """A filter of HTTP requests."""
    kind = {
        "buffer": "Buffer",
        "lua": "Lua",
        "router": "Router",
        "header_mutation": "HeaderMutation",
        "upstream_codec": "UpstreamCodec",
    }[name]
    return {"name": name, "typed_config": {"@type": f"{EXTENSIONS}.filters.http.{name}.v3.{kind}", **settings}}


def header(name: str, value: str) -> dict[str, Any]:
    """A header that is set, whatever it was before."""
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def watched(path: str) -> dict[str, Any]:
    """Configuration that is read from a file, and again when the file is swapped."""
    folder = path.rpartition("/")[0]
    return {"resource_api_version": "V3", "path_config_source": {"path": path, "watched_directory": {"path": folder}}}


def discovery(kind: str, resources: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The contents of such a file. Envoy tells the version once it is in force."""
    listed = [{"@type": f"type.googleapis.com/{kind}", **resource} for resource in resources]
    return {"version_info": digest(listed), "resources": listed}


def digest(value: Any) -> str:
    """The same for equal values."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def seconds(value: float) -> str:
    """A duration."""
    return f"{value:.3f}s"

"""Checkpoints that are whole or do not count.

A checkpoint is a file of tensors and, written after it, a small JSON file with its digest. A kill between the two, a
torn file or a flipped bit leaves a checkpoint that does not match, and the one before it is taken.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from blake3 import blake3

from mlctl.files import atomic


def save(folder: Path, content: dict[str, Any], *, step: int, total: int, epoch: int, keep: int) -> None:
    """Write the checkpoint of a step, then drop all but the newest `keep`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{step:010d}.pt"
    beside = folder / f".{path.name}.{os.getpid()}"
    with open(beside, "wb") as stream:
        torch.save(content, stream)
        stream.flush()
        os.fsync(stream.fileno())
    digest = blake3().update_mmap(beside).hexdigest()
    os.replace(beside, path)
    atomic.write_json(path.with_suffix(".json"), {"step": step, "total": total, "epoch": epoch, "digest": digest})
    for old in sorted(folder.glob("step-*.pt"), reverse=True)[keep:]:
        old.with_suffix(".json").unlink(missing_ok=True)
        old.unlink(missing_ok=True)
    for torn in folder.glob(".step-*"):
        torn.unlink(missing_ok=True)


def newest(folder: Path) -> Path | None:
    """The newest checkpoint whose bytes are those that were written."""
    return next(_whole(folder), None)


def load(path: Path) -> dict[str, Any]:
    """The content of a checkpoint: tensors and plain values, no code."""
    content: dict[str, Any] = torch.load(io.BytesIO(path.read_bytes()), map_location="cpu", weights_only=True)
    return content


def _whole(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.glob("step-*.pt"), reverse=True):
        try:
            stored = json.loads(path.with_suffix(".json").read_bytes())
            if blake3().update_mmap(path).hexdigest() == stored["digest"]:
                yield path
        except (OSError, ValueError, KeyError):
            continue

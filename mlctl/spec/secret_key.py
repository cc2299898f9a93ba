"""The project's own key, under which digests of secret values are made: without it nobody can try values against a digest."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path

from mlctl.files import atomic
from mlctl.types.diagnostic import MlctlError

VARIABLE = "MLCTL_KEY"
FILE = Path(".mlctl") / "key"
_BYTES = 32
_SHORTEST = 16  # characters of MLCTL_KEY


def project_key(root: Path) -> bytes:
    """The key from `MLCTL_KEY`, or from a file of the project's folder that is made when first needed. Raises MlctlError."""
    given = os.environ.get(VARIABLE)
    if given is not None:
        if len(given) < _SHORTEST:
            raise MlctlError.of(
                "spec.short-key",
                f"`{VARIABLE}` has fewer than {_SHORTEST} characters",
                "it keeps the digests of secret values from being guessed",
                "give it a long random text, for example of `openssl rand -hex 32`",
            )
        return given.encode("utf-8", "surrogateescape")
    path = root / FILE
    try:
        return _read(path) or _made(path)
    except OSError as error:
        raise MlctlError.of(
            "spec.no-key",
            f"the key {path} cannot be read or made: {error.strerror or error}",
            "digests of sensitive values are made with it, so that a rotation shows and the value does not",
            f"mend the folder's permissions, or set `{VARIABLE}`",
        ) from None


def _read(path: Path) -> bytes:
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        return b""
    if len(key) != _BYTES:
        raise MlctlError.of(
            "spec.no-key",
            f"{path} does not hold a key of {_BYTES} bytes",
            "mlctl made it for the digests of sensitive values",
            "restore it, or remove it: sensitive values then show as changed once",
        )
    return key


def _made(path: Path) -> bytes:
    """Make the file whole and only once, whoever else does so at the same moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".key.", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(secrets.token_bytes(_BYTES))
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:  # another process was faster: its key is the one
            pass
        atomic.sync_folder(path.parent)
    finally:
        os.unlink(temporary)
    return _read(path)

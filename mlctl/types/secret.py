"""Values that must not be seen: wherever they stand in data they are sealed, by a placeholder with a keyed digest, or hidden.

A secret is known by its value, not by the field it came through, so that no way out can be forgotten: an output that
repeats it, a text it was put into, a message of a tool. That needs values long enough not to be found by chance.

A text with a secret in it stays a text: `http://me:hunter22hunter22@host` is kept as `http://me:${secret:var.token#1f0c...}@host`.
Whoever has the secret can open that again, and everybody else can tell a rotation by the digest, and not the value.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

SHORTEST = 8  # characters; a shorter text would be found in what has nothing to do with it
HIDDEN = "(sensitive)"
ENVIRONMENT = "MLCTL_SECRETS"  # what a worker process is given: one JSON object, name to value

_OPENING = "${secret:"
_SEALED = re.compile(r"\$\{secret:([\w.-]+)(?:#([0-9a-f]+))?\}")


class Secrets:
    """The secret values of a command by the name they are written as, such as `var.api_token`, and the key of their digests."""

    def __init__(self, values: Mapping[str, str] | None = None, key: bytes = b"") -> None:
        self._values = dict(values or {})
        self._key = key
        self._plain = _pattern({value: name for name, value in sorted(self._values.items(), reverse=True)})
        self._forms = _pattern({form: "" for value in self._values.values() for form in _forms(value)})

    def __bool__(self) -> bool:
        return bool(self._values)

    @property
    def values(self) -> Mapping[str, str]:
        """The values by name. For the environment of a process of ours, and nothing else."""
        return self._values

    def masked(self, value: Any) -> Any:
        """A tree of JSON with each secret in its texts sealed: what state, plan and job files keep."""
        return _each(value, self._seal) if self._values else value

    def hidden(self, value: Any) -> Any:
        """A tree of JSON, or one text, with each secret replaced by a word: what people, logs and content keys may read."""
        return _each(value, self._blot) if self._values else value

    def opened(self, value: Any) -> Any:
        """A tree of JSON with the values put back in place of what `masked` left. What is not known stays sealed."""
        return _each(value, self._open) if self._values else value

    def missing(self, value: Any) -> frozenset[str]:
        """The names that are sealed in a tree of JSON and have no value here."""
        return sealed_names(value) - self._values.keys()

    def digest(self, text: str) -> str:
        """HMAC-SHA256 of a text under the project's own key, as 32 hex digits: tells a rotation, and not the value."""
        return hmac.new(self._key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:32]

    def _seal(self, text: str) -> str:
        kept = self._plain(text, self._placeholder)
        return self._forms(kept, lambda form, name: HIDDEN)

    def _placeholder(self, secret: str, name: str) -> str:
        """Without a key there is no digest: one that anybody could compute would let a weak secret be guessed."""
        return f"{_OPENING}{name}#{self.digest(secret)}}}" if self._key else f"{_OPENING}{name}}}"

    def _blot(self, text: str) -> str:
        return self._forms(shown(text), lambda form, name: HIDDEN)

    def _open(self, text: str) -> str:
        if _OPENING not in text:
            return text
        return _SEALED.sub(lambda found: self._values.get(found[1], found[0]), text)


def shown(value: Any) -> Any:
    """A tree of JSON, or one text, with what is sealed in it replaced by a word: what people read."""
    return _each(value, lambda text: _SEALED.sub(HIDDEN, text) if _OPENING in text else text)


def settled(value: Any) -> Any:
    """A tree of JSON with its seals, but without their digests: the same before and after a rotation."""
    return _each(value, lambda text: _SEALED.sub(r"${secret:\1}", text) if _OPENING in text else text)


def is_rotation(old: Any, new: Any) -> bool:
    """Whether two values differ, and by nothing but the secrets that are sealed in them."""
    return old != new and bool(sealed_names(new)) and settled(old) == settled(new)


def sealed_names(value: Any) -> frozenset[str]:
    """The names of all secrets that are sealed in a tree of JSON."""
    found: set[str] = set()

    def look(text: str) -> str:
        if _OPENING in text:
            found.update(item[1] for item in _SEALED.finditer(text))
        return text

    _each(value, look)
    return frozenset(found)


# Every secret that this process has come to know, so that what prints needs no way to the project they came from.
_announced: list[Secrets] = []


def announce(secrets: Secrets) -> None:
    """Have `redacted` know these secrets from now on, in this process."""
    if secrets and secrets not in _announced:
        _announced.append(secrets)


def redacted(value: Any) -> Any:
    """A tree of JSON, or one text, without any secret that this process knows: for every place where something is said."""
    for secrets in _announced:
        value = secrets.hidden(value)
    return value


def _forms(secret: str) -> Iterator[str]:
    """A secret as it may turn up in other texts: as it is, quoted for URLs or JSON, in Base64 wherever it begins in it."""
    yield secret
    yield from (quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1], repr(secret)[1:-1])
    data = secret.encode("utf-8", "surrogatepass")
    for offset in range(3):  # a Base64 digit holds 6 bits: at the ends are digits that hold bits of the neighbours too
        text = base64.b64encode(bytes(offset) + data).decode()
        core = text[-(-offset * 8 // 6) : (offset + len(data)) * 8 // 6]
        yield from (core, core.replace("+", "-").replace("/", "_"))


def _pattern(needles: Mapping[str, str]) -> Callable[[str, Callable[[str, str], str]], str]:
    """A function that replaces, in one pass, each needle in a text by what is made of it and of what it stands for."""
    # the longest first: a secret that is part of another must not cut it in two
    words = sorted(needles, key=lambda needle: (-len(needle), needle))
    found = re.compile("|".join(map(re.escape, words)) or "(?!)")
    return lambda text, make: found.sub(lambda item: make(item[0], needles[item[0]]), text)


def _each(value: Any, do: Callable[[str], str]) -> Any:
    """A tree of JSON with something done to each of its texts, names included."""
    if isinstance(value, str):
        return do(value)
    if isinstance(value, Mapping):
        return {do(name) if isinstance(name, str) else name: _each(item, do) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_each(item, do) for item in value]
    return value

"""Ways to spoil a file: its bytes, its lines, its words, and the values in it. All of them follow from the given `Random`."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import yaml

# Characters that files hold by accident or by malice: controls, marks of direction, other alphabets, half a pair of UTF-16.
NASTY = [
    "\x00", "\x07", "\x1b[31m", "\x1b]0;title\x07", "\x7f", "\x85", "\xa0", "\ufeff", "\u2028", "\u202e", "\u200b", "\ud800",
    "\U0001f9e8", "ß", "İ", "\r", "\t", "\v", "${", "${}", "${a.b.c}", "${entities.shop.name}", "${var.x}", "${env.HOME}",
    "%s%n", "{}", "{0}", "../", "/etc/passwd", "[bold]", "<<<<<<< HEAD", "#", "'", '"', "\\", "\\x", "\\ud800", "&a", "*a",
]  # fmt: skip
WORDS = [
    "", "~", "null", "true", "no", "0", "-1", "010", "0x1F", "0o17", "1e999", "-1e-999", ".nan", ".inf", "1_000", "12:30:45",
    "2026-02-30", "2026-11-22T00:00:00Z", "9" * 25, "9" * 400, "1e308", "0.1e-5", "[]", "{}", "[[]]", "{a: {}}", "- -", "? :",
    "!!binary aGk=", "!!python/object/apply:os.system ['true']", "!local x", "&a {b: *a}", "*missing", "|", ">-", "<<", "<<: 1",
    "%TAG", "---", "...", "@x", "`x`", "entities", "datasets", "entities.shop", "training.x#1", "depends_on", "project",
]  # fmt: skip
VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**70), 10**30, 0.5, -0.0, 1e308, 5e-324, "", " ", "x", "0", "-1", "nan",
    "entities.shop", "entities.shop#", "a.b#c", "#", "..", "../../x", "/", ".", "datasets.visits#zz", "apply", "delete", "done",
    [], {}, [[]], [{}], {"": ""}, [None], {"a": [1, {"b": None}]}, ["x"] * 50, "y" * 5_000,
]  # fmt: skip
_TOKEN = re.compile(r"[^\s:,\[\]{}#'\"]+")


def spoil_bytes(data: bytes, rng: Random) -> bytes:
    """One accident of bytes: a flipped bit, a lost or doubled span, a cut, exchanged halves, something strange put in."""
    place = rng.randrange(len(data) + 1)
    end = min(len(data), place + rng.choice((1, 2, 8, 64, 512)))
    kind = rng.randrange(9)
    if kind == 0 and data:
        at = rng.randrange(len(data))
        return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
    if kind == 1:
        return data[:place] + data[end:]
    if kind == 2:
        return data[:end] + data[place:end] * rng.choice((1, 3, 40)) + data[end:]
    if kind == 3:
        return data[:place]
    if kind == 4:
        return data[len(data) // 2 :] + data[: len(data) // 2]
    if kind == 5:
        return data[:place] + rng.randbytes(rng.choice((1, 4, 40))) + data[place:]
    if kind == 6:
        return rng.choice((b"\xff\xfe", b"\xef\xbb\xbf", b"\x1f\x8b", b"PK\x03\x04", b"\x00" * 8)) + data
    if kind == 7:
        return data.decode("utf-8", "replace").encode(rng.choice(("utf-16", "latin-1", "utf-32", "cp037")), "replace")
    return data[:place] + rng.choice(NASTY).encode("utf-8", "surrogatepass") + data[place:]


def spoil_lines(text: str, rng: Random) -> str:
    """One accident of an editor or of a merge."""
    lines = text.split("\n")
    at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    kind = rng.randrange(8)
    if kind == 0:
        del lines[at]
    elif kind == 1:
        lines.insert(other, lines[at])
    elif kind == 2:
        lines[at], lines[other] = lines[other], lines[at]
    elif kind == 3:
        lines[at] = " " * rng.choice((1, 2, 3, 7)) + lines[at]
    elif kind == 4:
        lines[at] = lines[at].lstrip() if rng.random() < 0.5 else "\t" + lines[at].lstrip()
    elif kind == 5:
        lines[at : at + 2] = ["".join(lines[at : at + 2])]
    elif kind == 6:
        lines[at:at] = ["<<<<<<< HEAD", lines[other], "=======", lines[at], ">>>>>>> other"]
    else:
        lines[at] += rng.choice((" #", ":", ": :", " |", " >", ",", " &a", " *a", "\\", "'"))
    return "\n".join(lines)


def spoil_words(text: str, rng: Random) -> str:
    """One word of a file made another, or something put around it."""
    found = list(_TOKEN.finditer(text))
    if not found:
        return text + rng.choice(WORDS)
    word = rng.choice(found)
    new: Callable[[], str] = rng.choice(
        (
            lambda: rng.choice(WORDS),
            lambda: rng.choice(found)[0],
            lambda: word[0] + rng.choice(NASTY),
            lambda: word[0][:-1],
            lambda: rng.choice(("&a ", "*a", "!!str ", "!!float ", "? ", "- ", "${", "<<: *a ")) + word[0],
            lambda: _deep(word[0], rng),
            lambda: word[0][:40] * rng.choice((2, 300, 20_000)),
            lambda: str(rng.choice(VALUES))[:400],
            lambda: f'"{rng.choice(NASTY)}{word[0]}"',
        )
    )
    return text[: word.start()] + new() + text[word.end() :]


def _deep(word: str, rng: Random) -> str:
    """A word at the bottom of a well of brackets, or the aliases that grow without end."""
    depth = rng.choice((2, 30, 61, 500, 20_000))
    if rng.random() < 0.2:
        bomb = ["x0: &x0 [a,a,a,a,a,a,a,a,a]", *(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]" for n in range(1, 9))]
        return word + "\n" + "\n".join(bomb) + "\n"
    left, right = rng.choice((("[", "]"), ("{a: ", "}")))
    return left * depth + word + right * (depth if rng.random() < 0.7 else depth - 1)


def spoil_value(value: Any, rng: Random) -> Any:
    """Make one part of a JSON value wrong: another type, a lost, renamed or exchanged field. Changes it in place."""
    places = list(_places(value))
    if not places:
        return copy.deepcopy(rng.choice(VALUES))
    holder, name = rng.choice(places)
    kind = rng.randrange(9)
    if kind == 0:
        del holder[name]
    elif kind == 1:
        other, also = rng.choice(places)
        holder[name] = copy.deepcopy(other[also])
    elif kind == 2 and isinstance(holder, dict):
        holder[rng.choice([*WORDS, *NASTY, "format", "digest"])] = holder.pop(name)
    elif kind == 3 and isinstance(holder[name], str):
        at = rng.randrange(len(holder[name]) + 1)
        holder[name] = holder[name][:at] + rng.choice(NASTY) + holder[name][at:]
    elif kind == 4:
        holder[name] = rng.choice(([holder[name]], {"a": holder[name]}, str(holder[name])))
    elif kind == 5 and isinstance(holder[name], int | float):
        holder[name] = rng.choice((-1, 10, 1e9, -1e300)) * holder[name] + rng.choice((0, 1, 0.5))
    elif kind == 6 and isinstance(holder, dict):
        holder[f"{name}{rng.choice(('', '2', '#', '.x'))}"] = copy.deepcopy(holder[name])
    elif kind == 7 and rng.random() < 0.1:
        for _ in range(rng.choice((50, 400, 3_000))):
            holder[name] = [holder[name]]
    else:
        holder[name] = copy.deepcopy(rng.choice(VALUES))
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) of a tree, each container once: aliases of YAML may share them, or put one into itself.

    With a stack of its own, since the tree may be deeper than Python's.
    """
    waiting, seen = [value], set()
    while waiting:
        holder = waiting.pop()
        if id(holder) in seen or not isinstance(holder, dict | list):
            continue
        seen.add(id(holder))
        for name in list(holder) if isinstance(holder, dict) else range(len(holder)):
            yield holder, name
            waiting.append(holder[name])


def spoil_json(data: bytes, rng: Random) -> bytes:
    """Spoil the values of a JSON file; one that is no JSON any more loses bytes instead.

    It is written as a program that checks nothing would write it: NaN and half a surrogate pair go through.
    """
    if rng.random() < 0.01:
        depth = rng.choice(
            (500, 900, 100_000)
        )  # by itself and inside a state: near the depth that Python can go, and beyond
        return rng.choice((b"%b", b'{"format": 1, "lineage": "x", "serial": 1, "objects": %b}')) % (
            b"[" * depth + b"]" * depth
        )
    try:
        return json.dumps(spoil_value(json.loads(data), rng)).encode()
    except (ValueError, RecursionError):
        return spoil_bytes(data, rng)


def spoil_yaml(data: bytes, rng: Random) -> bytes:
    """Spoil a YAML file at one of its levels: bytes, lines, words, values."""
    how = rng.randrange(6)
    if how == 0:
        return spoil_bytes(data, rng)
    text = data.decode("utf-8", "surrogateescape")
    if how == 1:
        text = spoil_lines(text, rng)
    elif how <= 3:
        text = spoil_words(text, rng)
    else:
        try:
            value = spoil_value(yaml.safe_load(text), rng)
            text = yaml.safe_dump(
                value, sort_keys=False, allow_unicode=True, default_flow_style=rng.choice((None, False))
            )
        except (yaml.YAMLError, ValueError, TypeError, RecursionError, AttributeError):
            text = spoil_words(text, rng)
    return text.encode("utf-8", "surrogatepass" if how > 3 else "surrogateescape") if _clean(text) else data + b"\xff"


def _clean(text: str) -> bool:
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True

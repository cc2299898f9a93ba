"""Keys, values and times as the bytes that Feast keeps in its online stores (entity keys of version 3, protobuf values).

Feast's own functions need all of Feast, which takes seconds to import and 370 MB. What a model server reads is a few
numbers by key, and that part of the layout is small: `tests/integration/features/test_stores_layout.py` holds it against
Feast's own reader and writer.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence

from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.features import FeatureType, Key, KeyValue

Value = float | int | None

MISSING = b"\xff"  # stands for no value at all, which is less than one that is known to be null

_STRING, _INT64 = 2, 4  # Feast's numbers of its value types
_PAIR = struct.Struct("<II")
_COUNT = struct.Struct("<I")
_LONG = struct.Struct("<q")
_DOUBLE = struct.Struct("<d")
_FLOAT = struct.Struct("<f")
_TAG_INT64, _TAG_DOUBLE, _TAG_FLOAT = b"\x20", b"\x29", b"\x35"  # field 4 varint, field 5 and 6 fixed
_TAG_SECONDS, _TAG_NANOS = 0x08, 0x10
_MILLION = 1_000_000


class KeyCodec:
    """The keys of one entity as bytes: its columns sorted by name, then their values."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self.keys = tuple(sorted(keys, key=lambda key: key.name))
        names = [key.name.encode() for key in self.keys]
        self.prefix = _COUNT.pack(len(names)) + b"".join(_PAIR.pack(_STRING, len(name)) + name for name in names)

    def encode(self, row: Mapping[str, KeyValue]) -> bytes:
        """One key. Raises MlctlError `features.bad-key` when a column is missing or of another type than declared."""
        parts = [self.prefix]
        for key in self.keys:
            value = row.get(key.name)
            if key.type == "int64":
                if type(value) is not int or not -(2**63) <= value < 2**63:
                    raise bad_key(key, value, missing=key.name not in row)
                parts.append(_PAIR.pack(_INT64, 8) + _LONG.pack(value))
            else:
                if not isinstance(value, str):
                    raise bad_key(key, value, missing=key.name not in row)
                try:
                    data = value.encode()
                except UnicodeEncodeError:
                    raise bad_key(key, value, missing=False) from None
                parts.append(_PAIR.pack(_STRING, len(data)) + data)
        return b"".join(parts)

    def split(self, data: bytes) -> tuple[bytes, bytes] | None:
        """A key and what follows it; None when the bytes do not begin with a key of this entity."""
        if not data.startswith(self.prefix):
            return None
        position = len(self.prefix)
        for _ in self.keys:
            if len(data) < position + _PAIR.size:
                return None
            _, length = _PAIR.unpack_from(data, position)
            position += _PAIR.size + length
        return (data[:position], data[position:]) if len(data) >= position else None


def bad_key(key: Key, value: object, *, missing: bool) -> MlctlError:
    """A key column that is not there, or of another type than the entity declares."""
    what = "a whole number of 64 bits" if key.type == "int64" else "a text"
    summary = (
        f"the key column `{key.name}` is missing" if missing else f"{value!r:.60} is not a `{key.name}`: it is {what}"
    )
    return MlctlError.of("features.bad-key", summary, "", "send the key as the entity declares it")


def encode_value(value: Value, dtype: FeatureType) -> bytes:
    """A feature as a protobuf value; a missing one is empty. Raises ValueError for what would not come back the same."""
    if value is None:
        return b""
    try:
        if dtype == "float64":
            return _TAG_DOUBLE + _DOUBLE.pack(value)
        if dtype == "float32":
            return _TAG_FLOAT + _FLOAT.pack(value)
        whole = int(value)
    except (struct.error, OverflowError, TypeError) as error:
        raise ValueError(str(error)) from None
    if whole != value or not -(2**63) <= whole < 2**63:
        raise ValueError("it is not a whole number of 64 bits")
    return _TAG_INT64 + _varint(whole)


def decode_value(data: bytes | None) -> Value:
    """A protobuf value as a number; None for an empty one, and for none at all. Raises ValueError for what is no number."""
    if not data or data == MISSING:
        return None
    tag = data[:1]
    if tag == _TAG_DOUBLE and len(data) == 9:
        number: float = _DOUBLE.unpack_from(data, 1)[0]
        return number
    if tag == _TAG_FLOAT and len(data) == 5:
        single: float = _FLOAT.unpack_from(data, 1)[0]
        return single
    if tag == _TAG_INT64:
        return _signed(_read_varint(data, 1)[0])
    raise ValueError(f"a stored value begins with {data[:9].hex()}, which is no number")


def encode_moment(moment: int) -> bytes:
    """Microseconds since 1970 as a protobuf timestamp."""
    seconds, rest = divmod(moment, _MILLION)
    parts = b"" if seconds == 0 else bytes([_TAG_SECONDS]) + _varint(seconds)
    return parts if rest == 0 else parts + bytes([_TAG_NANOS]) + _varint(rest * 1000)


def decode_moment(data: bytes) -> int:
    """A protobuf timestamp as microseconds since 1970. Raises ValueError."""
    seconds = nanos = position = 0
    while position < len(data):
        tag = data[position]
        number, position = _read_varint(data, position + 1)
        if tag == _TAG_SECONDS:
            seconds = _signed(number)
        elif tag == _TAG_NANOS:
            nanos = number
        else:
            raise ValueError(f"a stored event time has the field {tag >> 3}")
    return seconds * _MILLION + nanos // 1000


def _varint(number: int) -> bytes:
    return bytes(_seven_bits(number & 0xFFFF_FFFF_FFFF_FFFF))


def _seven_bits(number: int) -> Iterator[int]:
    while number > 0x7F:
        yield number & 0x7F | 0x80
        number >>= 7
    yield number


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        if position >= len(data) or shift > 63:
            raise ValueError("a stored number is cut off")
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
        shift += 7


def _signed(number: int) -> int:
    return number - 2**64 if number >= 2**63 else number

"""A range of whole numbers as a regular expression, for routes that match headers by nothing else. Pure."""

from __future__ import annotations

from collections.abc import Iterator


def pattern(first: int, last: int) -> str:
    """An expression (RE2) that matches the decimal numbers from `first` to `last`, and nothing else."""
    return f"^(?:{'|'.join(_pieces(first, last))})$"


def _pieces(first: int, last: int) -> Iterator[str]:
    """Pieces in which each digit is free within a range of its own: 7 to 123 is 7-9, 10-99, 100-119 and 120-123."""
    while first <= last:
        end = max(candidate for candidate in _ends(first) if candidate <= last)
        yield "".join(low if low == high else f"[{low}-{high}]" for low, high in zip(str(first), str(end), strict=True))
        first = end + 1


def _ends(first: int) -> Iterator[int]:
    """Where a piece may end that begins at a number: some digit reaches any value, those behind it have gone from 0 to 9."""
    digits, size = str(first), 1
    for place in reversed(range(len(digits))):
        base = first // (size * 10) * size * 10
        for digit in range(int(digits[place]), 10):
            yield base + digit * size + size - 1
        if int(digits[place]) != 0:
            return
        size *= 10

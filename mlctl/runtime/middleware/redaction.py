"""Takes what tells who somebody is, or lets one in somewhere, out of a text: e-mail addresses, numbers of phones and cards, keys.

It finds forms, not meanings: a name or a street stays. What it takes out is named in its place: `[email]`.
"""

from __future__ import annotations

import re
from re import Match

_KEY = re.compile(
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)"
    # a JSON web token: where it stands alone its head may be of any length. Behind a dash it may not, or each `eyJ-` of a text
    # full of them would be read to the end; and nothing of it is read twice
    r"|(?:(?<![\w-])eyJ[\w-]{8,}+|\beyJ[\w-]{8,1024}+)\.[\w-]{8,}+\.[\w-]*+"
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bAIza[\w-]{30,}"
    r"|\b(?:sk|pk|rk|ghp|gho|ghs|github_pat|glpat|hf|xox[abprs]|npm|pypi)[-_][\w-]{16,}"
)
_NAMED_KEY = re.compile(
    r"(?i)(\bbearer\s{1,3}|\bauthorization[\"']?\s{0,3}[:=]\s{0,3}[\"']?basic\s{1,3}"
    r"|(?:(?:api|access|private|secret)[-_ ]?key|token|secret|passw(?:or)?d|passphrase|pwd)\b[\"']?\s{0,3}[:=]\s{0,3}[\"']?)"
    r"(?!(?:bearer|basic)\s)([^\s\"',;&]{6,})"
)  # at the end of a name too, as in `DB_PASSWORD=`
_IN_ADDRESS = re.compile(r"(?<=://)([^\s/:@]{0,64}:)[^\s/@]{3,128}(?=@)")
_EMAIL = re.compile(r"[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b")
_DIGITS = re.compile(
    r"(?<![\w.])(?!\d{4}-\d\d-\d\d[ T]\d\d:)"  # a moment
    r"(?:\d{2,4}(?:\.\d{2,4}){2,5}|(?:\+|\()?\d(?:[ ()\-/]{0,2}\d){8,18})(?![\w]|\.\d)"
)


def masked(text: str) -> str:
    """The text without them."""
    text = _KEY.sub("[key]", text)
    text = _NAMED_KEY.sub(lambda found: f"{found[1]}[key]", text)
    text = _IN_ADDRESS.sub(lambda found: f"{found[1]}[key]", text)
    text = _EMAIL.sub("[email]", text)
    text = _IBAN.sub("[account]", text)
    return _DIGITS.sub(_number, text)


def _number(found: Match[str]) -> str:
    digits = [int(letter) for letter in found[0] if letter.isdigit()]
    if len(digits) < 9:  # a version, a date
        return found[0]
    if len(digits) >= 13 and _luhn(digits):
        return "[card]"
    return "[phone]" if len(digits) <= 15 else "[number]"


def _luhn(digits: list[int]) -> bool:
    """The check that numbers of cards pass."""
    doubled = [digit if place % 2 == 0 else sum(divmod(2 * digit, 10)) for place, digit in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0

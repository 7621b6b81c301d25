"""The title of a line in another language than the one in which it was issued: made anew of the names in it."""

from __future__ import annotations

import re
from functools import lru_cache
from string import Formatter

from turf_saas.messages import MESSAGES, say

# Where one sentence holds another, the longer one is looked for first.
_TITLES: dict[str, tuple[str, ...]] = {
    "base": ("line_base_part", "line_base"),
    "discount": ("line_discount",),
    "overage": ("line_overage",),
    "credit": ("line_credit_note_of", "line_credit_note", "line_credit_end", "line_credit"),
    "charge": ("line_charge",),
    "late": ("line_late",),
}
_ALL = tuple(code for codes in _TITLES.values() for code in codes)


def said_again(title: str, kind: str, issued_in: str, locale: str) -> str:
    """The same in the other language; what somebody has written stays as it was issued."""
    return title if issued_in == locale else _said_again(title, _TITLES.get(kind, ()), issued_in, locale)


def _said_again(title: str, codes: tuple[str, ...], issued_in: str, locale: str) -> str:
    for code in codes:
        found = _pattern(code, issued_in).fullmatch(title)
        if found is not None:
            names = found.groupdict()
            if "line" in names:  # the title of the line that is credited
                names["line"] = _said_again(names["line"], _ALL, issued_in, locale)
            return say(code, locale, **names)
    return title


@lru_cache(maxsize=64)
def _pattern(code: str, locale: str) -> re.Pattern[str]:
    sentences = MESSAGES[code]
    text = ""
    for words, name, _, _ in Formatter().parse(sentences.get(locale, sentences["fr"])):
        text += re.escape(words) + (f"(?P<{name}>.+)" if name else "")
    return re.compile(text, re.DOTALL)

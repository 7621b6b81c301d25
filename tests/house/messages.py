"""Codes that are raised, sentences that are there, and whether each has what the other needs."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from string import Formatter

from tests.house.sources import Source, called_name, calls, literal_texts
from turf_saas import errors
from turf_saas.messages import LOCALES

Catalogue = Mapping[str, Mapping[str, str]]


def _refusals() -> set[str]:
    kinds = [errors.BillingError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    return {kind.__name__ for kind in kinds if kind.__module__.startswith(("turf_saas", "api_v1"))}


TAKES_A_CODE_FIRST = {"say", "error_response"}
TABLE_OF_CODES = re.compile(r"_?(HTTP_)?CODES")


def placeholders(sentence: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(sentence) if name is not None}


def unequal_sentences(catalogue: Catalogue) -> list[str]:
    """A code has a sentence in every language, and all of them speak of the same things."""
    breaches = []
    for code, sentences in catalogue.items():
        if set(sentences) != set(LOCALES):
            breaches.append(f"{code} is said in {sorted(sentences)}, not in {sorted(LOCALES)}")
        elif any(not sentence.strip() for sentence in sentences.values()):
            breaches.append(f"{code} has an empty sentence")
        elif len({frozenset(placeholders(sentence)) for sentence in sentences.values()}) > 1:
            breaches.append(f"{code} has other placeholders in one language than in another")
    return breaches


def codes_said(source: Source) -> Iterator[tuple[ast.AST, str, set[str] | None]]:
    """Every code that a file names, with the parameters given beside it (None: not to be seen here)."""
    first = TAKES_A_CODE_FIRST | _refusals()
    for call in calls(source.tree):
        if called_name(call) in first and call.args:
            names = {keyword.arg for keyword in call.keywords}
            for code in literal_texts(call.args[0]):
                yield call, code, None if None in names else {str(name) for name in names}
        elif called_name(call) == "Fault" and len(call.args) > 1:
            for code in literal_texts(call.args[1]):
                yield call, code, _keys(call.args[2]) if len(call.args) > 2 else None
    for node in source.tree.body:
        target = node.target if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [None])[0]
        if isinstance(target, ast.Name) and TABLE_OF_CODES.fullmatch(target.id):
            value = getattr(node, "value", None)
            if isinstance(value, ast.Dict):
                yield from ((item, code, None) for item in value.values for code in literal_texts(item))


def _keys(node: ast.expr) -> set[str] | None:
    if not isinstance(node, ast.Dict) or None in node.keys:
        return None
    return {text for key in node.keys for text in literal_texts(key)}


def codes_without_a_sentence(source: Source, catalogue: Catalogue) -> list[str]:
    breaches = []
    for node, code, given in codes_said(source):
        if code not in catalogue:
            breaches.append(source.at(node, f"says {code!r}, which has no sentence in turf_saas/messages.py"))
        elif given is not None:
            missing = placeholders(catalogue[code].get("fr", "")) - given
            breaches += [source.at(node, f"says {code!r} without its {name!r}") for name in sorted(missing)]
    return breaches


def sentences_never_said(sources: list[Source], catalogue: Catalogue) -> list[str]:
    """A code counts as said when some file holds it as a text, or builds it with an f-string."""
    texts: set[str] = set()
    built: list[re.Pattern[str]] = []
    for source in sources:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.add(node.value)
            elif isinstance(node, ast.JoinedStr) and (pattern := _shape(node)):
                built.append(pattern)
    return [
        f"{code} has a sentence that nothing says"
        for code in catalogue
        if code not in texts and not any(pattern.fullmatch(code) for pattern in built)
    ]


def _shape(node: ast.JoinedStr) -> re.Pattern[str] | None:
    """f"alert_{level}_{metric}" as a pattern; nothing for one that does not begin as a code does."""
    parts = [str(part.value) if isinstance(part, ast.Constant) else None for part in node.values]
    if parts[0] is None or not re.fullmatch(r"[a-z]+_[a-z_]*", parts[0]):
        return None
    return re.compile("".join("[a-z_]+" if part is None else re.escape(part) for part in parts))

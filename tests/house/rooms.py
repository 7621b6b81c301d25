"""Sizes, and words that have no place in a file."""

from __future__ import annotations

import ast
import re

from tests.house.sources import Source, called_name, calls, functions

LONGEST_FILE = 400
# The one door to the data is one file: nothing may lie below it, and what is in it belongs together.
LONGER_FILES = {"billing_db.py": 600}
LONGEST_FUNCTION = 70
ROOMS_WITH_A_LIMIT = (".py", ".sql", ".html", ".css", ".js")

# Spelt so that this file does not hold them itself.
UNFINISHED = re.compile(r"\b(TO[D]O|FIX[M]E|XX[X]|HA[C]K)\b")
ONE_MACHINE = re.compile(r"/[w]ork/|/[o]pt/tv|/[r]oot/|/[h]ome/[a-z]|/tmp/[b]|bash[_]jobs")
REGISTRY = re.compile(r"\b(py[p]i\.org|python[h]osted\.org|npm[j]s\.(org|com)|deb\.[d]ebian\.org)")
SKIP_MARKS = {"skip", "skipif", "xfail"}


def too_long(source: Source) -> list[str]:
    lines = source.text.count("\n")
    most = LONGER_FILES.get(source.path, LONGEST_FILE)
    if not source.path.endswith(ROOMS_WITH_A_LIMIT) or lines <= most:
        return []
    return [f"{source.path} has {lines} lines, {most} are the most"]


def long_functions(source: Source) -> list[str]:
    return [
        source.at(function, f"{function.name}() has {length} lines, {LONGEST_FUNCTION} are the most")
        for function in functions(source.tree)
        if (length := (function.end_lineno or 0) - function.lineno + 1) > LONGEST_FUNCTION
    ]


def unwanted_words(source: Source) -> list[str]:
    kinds = {"is unfinished": UNFINISHED, "names a path of one machine": ONE_MACHINE, "names a registry": REGISTRY}
    return [
        f"{source.path}:{number} {what}: {found[0]}"
        for number, line in enumerate(source.text.splitlines(), 1)
        for what, pattern in kinds.items()
        if (found := pattern.search(line))
    ]


def skips_by_mark(source: Source) -> list[str]:
    """A test is left out at run time, by a fixture that knows the reason, so that `.ci/run` can forbid it."""
    return [
        source.at(node, f"pytest.mark.{node.attr}: call pytest.skip(reason) where the reason is known")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute) and node.attr in SKIP_MARKS and getattr(node.value, "attr", "") == "mark"
    ]


def pretends(source: Source) -> list[str]:
    """Mocks, and waiting by the clock. A pause between two looks, inside a `while`, is no such wait."""
    breaches = []
    for node in ast.walk(source.tree):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        breaches += [source.at(node, f"imports {name}") for name in modules if "mock" in name.split(".")]
    polls = {id(call) for loop in ast.walk(source.tree) if isinstance(loop, ast.While) for call in calls(loop)}
    return breaches + [
        source.at(call, "sleeps: wait for the thing itself")
        for call in calls(source.tree)
        if called_name(call) == "sleep" and id(call) not in polls
    ]

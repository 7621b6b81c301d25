"""What the documents promise: links, paths, commands, versions, blocks of code."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import click

from tests.house.sources import Source

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
PATH = re.compile(r"`((?:turf_saas|api_v1|tests|docs|examples|bench|\.ci|\.github)/[\w./*-]+)`")
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```\s*$", re.M | re.S)


def broken_links(source: Source, root: Path) -> list[str]:
    """Relative links, their anchors, and paths of ours that the text names."""
    text = FENCE.sub("", source.text)
    breaches = []
    for found in LINK.finditer(text):
        target = found[1] or found[2]
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = root / Path(source.path).parent / name if name else root / source.path
        if not file.exists():
            breaches.append(f"{source.path} links to {target}, which is not there")
        elif anchor and file.is_file() and anchor not in anchors(file.read_text(encoding="utf-8")):
            breaches.append(f"{source.path} links to {target}, but there is no such heading")
    named = {found[1] for found in PATH.finditer(text)}
    return breaches + [
        f"{source.path} names {path}, which is not there"
        for path in sorted(named)
        if not (any(root.glob(path.rstrip("/"))) if "*" in path else (root / path).exists())
    ]


def anchors(text: str) -> set[str]:
    """Headings as a link names them: small letters, no punctuation, dashes for spaces."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def bad_blocks(source: Source) -> list[str]:
    """Python that does not compile, JSON that is not JSON. An abbreviated block holds an ellipsis and no language."""
    breaches = []
    for found in FENCE.finditer(source.text):
        line = source.text[: found.start()].count("\n") + 1
        try:
            if found[1] == "python":
                ast.parse(found[2])
            elif found[1] == "json":
                json.loads(found[2])
        except (SyntaxError, ValueError) as error:
            breaches.append(f"{source.path}:{line} holds {found[1]} that is none: {error}")
    return breaches


def commands(group: click.Group, prefix: str) -> dict[str, click.Command]:
    """Every command below a group, by what a person types."""
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        typed = f"{prefix} {name}"
        if isinstance(command, click.Group):
            found |= commands(command, typed)
        else:
            found[typed] = command
    return found


def undocumented(typed: dict[str, click.Command], documents: list[Source]) -> list[str]:
    everything = " ".join(re.sub(r"\s+", " ", document.text) for document in documents)
    missing = [name for name in typed if not re.search(re.escape(name) + r"(?![\w-])", everything)]
    helpless = [name for name, command in typed.items() if not (command.help or "").strip()]
    return [f"`{name}` is in no document" for name in missing] + [f"`{name}` has no help" for name in helpless]


def unreleased(changelog: str, version: str) -> list[str]:
    """The current version has an entry, it is the newest, and it says something."""
    entries = re.findall(r"^## \[?([^\]\s]+)\]?[^\n]*\n(.*?)(?=^## |\Z)", changelog, re.M | re.S)
    if not entries or entries[0][0] != version:
        return [f"CHANGELOG.md does not begin with version {version}"]
    return [] if re.search(r"^- \S", entries[0][1], re.M) else [f"CHANGELOG.md says nothing of {version}"]

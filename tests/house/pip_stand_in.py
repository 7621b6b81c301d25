"""Stands for pip while a document is run: what it names must exist, but is here already, so nothing is installed.

Where CI=true the requirements are really installed.
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
from pathlib import Path


def complaint(arguments: list[str]) -> str | None:
    """What is wrong with `pip install …` in this folder, or None."""
    if arguments[:1] != ["install"]:
        return f"not understood: pip {' '.join(arguments)}"
    project = tomllib.loads(Path("pyproject.toml").read_text())
    extras = project["project"].get("optional-dependencies", {})
    named = [text for group in (*extras.values(), *project["dependency-groups"].values()) for text in group]
    known = {re.split(r"[\[<>=]", text)[0].lower() for text in named + project["project"]["dependencies"]}
    rest = iter(arguments[1:])
    for word in rest:
        if word in {"-r", "--group"}:
            name = next(rest, "")
            if name not in (
                project["dependency-groups"] if word == "--group" else [str(p) for p in Path().glob("*.txt")]
            ):
                return f"{word} {name}: there is no such thing here"
        elif word.startswith("."):
            missing = set(re.findall(r"[\w-]+", word)) - set(extras)
            if missing:
                return f"no extra {', '.join(sorted(missing))}"
        elif not word.startswith("-") and re.split(r"[\[<>=]", word)[0].lower() not in known:
            return f"{word} is in no list of dependencies"
    return None


if __name__ == "__main__":
    wrong = complaint(sys.argv[1:])
    if wrong:
        sys.exit(f"pip: {wrong}")
    if os.environ.get("CI") == "true" and sys.argv[1:] == ["install", "-r", "requirements.txt"]:
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *sys.argv[1:]]
        os.execv(sys.executable, pip)

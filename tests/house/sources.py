"""The files of this project, read once, with the few questions about a syntax tree that the rules ask."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
CODE = ("billing_db.py", "turf_saas", "api_v1", "wsgi.py")
ROOMS = (*CODE, "tests", "bench", "examples", "docs", ".ci", ".github")
LOOSE = ("README.md", "CHANGELOG.md", "pyproject.toml", "requirements.txt", ".env.example", ".gitignore")


@dataclass(frozen=True)
class Source:
    """A file by its path in the project, and its text. Rules are shown to bite on made-up ones."""

    path: str
    text: str = field(repr=False)

    @property
    def room(self) -> str:
        return self.path.split("/")[0]

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    def at(self, node: ast.AST, breach: str) -> str:
        return f"{self.path}:{getattr(node, 'lineno', 1)} {breach}"


@lru_cache(maxsize=1)
def project_files() -> tuple[Source, ...]:
    """Every text file that belongs to the project, whatever else lies in the folder."""
    paths = [ROOT / name for name in (*ROOMS, *LOOSE)]
    files = [path for path in paths if path.is_file()]
    files += [path for folder in paths if folder.is_dir() for path in sorted(folder.rglob("*")) if path.is_file()]
    return tuple(_read(path) for path in files if _is_text(path))


def python_files(*rooms: str) -> list[Source]:
    return [source for source in project_files() if source.path.endswith(".py") and source.room in rooms]


def markdown_files() -> list[Source]:
    return [source for source in project_files() if source.path.endswith(".md")]


def _read(path: Path) -> Source:
    return Source(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))


def _is_text(path: Path) -> bool:
    if "__pycache__" in path.parts or any(part.endswith(".egg-info") or part == "instance" for part in path.parts):
        return False
    return b"\0" not in path.read_bytes() and path.suffix not in {".db", ".png", ".woff2", ".icc", ".ttf"}


def called_name(call: ast.Call) -> str:
    """`f` of f(…) and of x.y.f(…)."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def literal_texts(node: ast.AST | None) -> list[str]:
    """The texts that an expression can be, as far as it says so itself: a literal, or either side of a choice."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.IfExp):
        return literal_texts(node.body) + literal_texts(node.orelse)
    if isinstance(node, ast.BoolOp):
        return [text for value in node.values for text in literal_texts(value)]
    return []


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    return [name for name in names if name not in {"self", "cls"}]


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))

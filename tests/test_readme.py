"""README.md does what it says: every block of it is run, and prints what it shows.

How a document is run:
- A ```bash block is typed into a terminal (`bash -euo pipefail`) in a copy of the checkout. Blocks follow each other in
  the same shell, so a variable that one sets is there in the next.
- `<!-- run: server -->` on the line before: the block's last command serves until it is stopped. It is started,
  waited for until it listens, kept for the blocks that follow, and stopped before the next server block.
- `<!-- run: no, because … -->` before: not run, only checked for its syntax.
- 127.0.0.1:N, localhost:N, --port N and PORT=N get a free port for each N; the usual ports of Flask, gunicorn and
  granian too. `python`, `flask`, `gunicorn`, `granian` are this interpreter's; `pip install` is checked against
  pyproject.toml and the requirement files, and done where CI=true.
- A block without a language shows the output of the bash block before it: each piece between ellipses and empty lines
  must be printed, in this order. Spaces do not matter; a date is any date.
- A ```python block is run with `app` a bare Flask app whose settings name a database.
- A block with `python -m pytest` is not run in itself: `.ci/run` must hold the same words.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests import require
from tests.house.readme import PROGRAMS, Block, Reader, blocks, differs, terminals
from tests.house.sources import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = blocks(README)
TERMINALS = terminals(BLOCKS)
TEST_COMMAND = "pip install -r requirements.txt && python -m pytest"
HOST = """
from flask import Flask
app = Flask("host")
app.config.update(TURF_SAAS_DB="host.db", JWT_SECRET_KEY="a-secret-for-tests-only-0123456789abcdef")
"""


def needs(code: str) -> None:
    """Leave out what this machine has not: a program, or a server that is no requirement."""
    for program in ("bash", "curl"):
        if re.search(rf"\b{program}\b", f"bash {code}") and shutil.which(program) is None:
            require.without(program, f"{program} is not installed")
    for module in PROGRAMS:
        if re.search(rf"\b{module}\b", code) and importlib.util.find_spec(module) is None:
            require.without(module, f"{module} is not installed")


@pytest.mark.parametrize("terminal", TERMINALS, ids=lambda terminal: f"line-{terminal[0].line}")
def test_every_command_does_what_is_shown(tmp_path: Path, terminal: list[Block]) -> None:
    needs("\n".join(block.code for block in terminal))
    printed = Reader(tmp_path).run(terminal)
    for block, output in zip(terminal, printed, strict=True):
        for shown in block.shown:
            missing = differs(shown, output)
            assert missing is None, f"the block at line {block.line} does not print {missing!r} but: {output}"


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "python"], ids=lambda block: f"line-{block.line}")
def test_every_python_block_runs(tmp_path: Path, block: Block) -> None:
    compile(block.code, f"README.md:{block.line}", "exec")
    if not block.not_run:
        code = HOST + block.code
        subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT)},
            check=True,
            timeout=60,
        )


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "bash"], ids=lambda block: f"line-{block.line}")
def test_every_mark_is_known_and_every_command_is_well_formed(block: Block) -> None:
    assert block.mark in {"", "server"} or re.match(r"no, .{5,}", block.mark)
    subprocess.run(["bash", "-n", "-c", block.code], check=True, timeout=10)


def test_the_first_forty_lines_say_what_it_is_and_how_it_begins() -> None:
    opening = "\n".join(README.splitlines()[:40])
    places = [
        opening.find(words)
        for words in (
            "pip install -r requirements.txt && python wsgi.py",
            "/api/v1/billing/consumption",
            "X-Billing-Alert:",
            "app.register_blueprint(billing_bp)",
        )
    ]
    assert -1 not in places
    assert places == sorted(places)


def test_the_test_command_is_the_one_that_the_checks_run() -> None:
    assert TEST_COMMAND in README
    assert TEST_COMMAND in (ROOT / ".ci" / "run").read_text()


# -- the reader itself -------------------------------------------------------------------------------------

FENCE = "```"


def document(tmp_path: Path, text: str) -> tuple[Reader, list[list[Block]]]:
    source = tmp_path / "source"
    source.mkdir()
    shutil.copy(ROOT / "pyproject.toml", source)
    (source / "requirements.txt").write_text("")
    return Reader(tmp_path, source), terminals(blocks(text))


def test_a_variable_lives_on_in_the_next_block(tmp_path: Path) -> None:
    reader, [terminal] = document(tmp_path, f"{FENCE}bash\nA=1\n{FENCE}\n{FENCE}bash\necho $A\n{FENCE}\n")
    assert reader.run(terminal) == ["", "1\n"]


@pytest.mark.parametrize(
    "code",
    [
        "false",
        "echo $UNSET",
        "false | true",
        "pip install -r gone.txt",
        "pip install '.[gone]'",
        "pip install unheard-of",
    ],
)
def test_a_command_that_fails_fails_its_block(tmp_path: Path, code: str) -> None:
    reader, [terminal] = document(tmp_path, f"{FENCE}bash\n{code}\n{FENCE}\n")
    with pytest.raises(AssertionError, match="the block at line 1 ends with"):
        reader.run(terminal)


def test_a_server_is_waited_for_asked_on_a_free_port_and_stopped(tmp_path: Path) -> None:
    serve = "python -m http.server --bind 127.0.0.1 $PORT"
    ask = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:5000/requirements.txt').status)"
    text = f'<!-- run: server -->\n{FENCE}bash\n{serve}\n{FENCE}\n\n{FENCE}bash\npython -c "{ask}"\n{FENCE}\n'
    reader, [terminal] = document(tmp_path, text)
    assert reader.run(terminal)[1] == "200\n"
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(reader.port("5000"))), timeout=5)


def test_a_server_that_does_not_start_is_told(tmp_path: Path) -> None:
    reader, [terminal] = document(tmp_path, f"<!-- run: server -->\n{FENCE}bash\necho broken; exit 3\n{FENCE}\n")
    with pytest.raises(AssertionError, match="did not start: "):
        reader.run(terminal)


@pytest.mark.parametrize(
    ("shown", "missing"),
    [
        ('{"month": "2025-01", "used": 2550, …}', None),
        ("X-Alert: soft\n\n{", None),
        ('"used": 2551', '"used":2551'),
        ('"used": 2550 … X-Alert: soft', "X-Alert:soft"),
    ],
)
def test_shown_output_is_held_against_the_printed_one(shown: str, missing: str | None) -> None:
    printed = 'HTTP/1.1 200 OK\nX-Alert: soft\nVary: x\n\n{"month":"2026-05","used":2550,"limit":3000}\n'
    assert differs(shown, printed) == missing

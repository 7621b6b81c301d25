"""Runs a document as a reader would: one terminal, blocks in their order, in a copy of the checkout.

The convention is told in tests/test_readme.py.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tests.house.sources import ROOT

BLOCK = re.compile(r"(?:^<!-- run: (?P<mark>[^\n]*?) -->\n)?^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.M | re.S)
PORT = re.compile(r"(?<=127\.0\.0\.1:)\d+|(?<=localhost:)\d+|(?<=--port[ =])\d+|(?<=\bPORT=)\d+")
USUAL_PORTS = ("5000", "8000")  # Flask's and gunicorn's, where a command names none
SECONDS = 90
OWN_SETTINGS = ("BILLING_", "STRIPE_", "TURF_SAAS_", "JWT_", "FLASK_", "PORT", "PYTEST_", "PYTHON")
PROGRAMS = ("flask", "gunicorn", "granian")


@dataclass
class Block:
    """A fenced block: its language, its text, its line, the mark above it, and the output shown below it."""

    language: str
    code: str
    line: int
    mark: str = ""
    shown: list[str] = field(default_factory=list)

    @property
    def not_run(self) -> bool:
        """Marked so, with a reason; and the test command, which is what is running now."""
        return self.mark.startswith("no, ") or "-m pytest" in self.code


def blocks(text: str) -> list[Block]:
    """The blocks of a document. One without a language shows what the bash block before it prints."""
    found: list[Block] = []
    for match in BLOCK.finditer(text):
        line = text[: match.start("language")].count("\n") + 1
        if match["language"]:
            found.append(Block(match["language"], match["code"], line, match["mark"] or ""))
        elif found:
            found[-1].shown.append(match["code"])
    return found


def terminals(found: list[Block]) -> list[list[Block]]:
    """Bash blocks that belong together: a server and what follows it, until the next server."""
    groups: list[list[Block]] = []
    for block in found:
        if block.language != "bash" or block.not_run:
            continue
        if block.mark == "server" or not groups:
            groups.append([])
        groups[-1].append(block)
    return groups


class Reader:
    """A copy of the checkout, this interpreter under the usual names, and free ports in place of the usual ones."""

    def __init__(self, folder: Path, source: Path = ROOT) -> None:
        self.checkout = folder / "checkout"
        left_behind = shutil.ignore_patterns(
            ".git", "__pycache__", "instance", "*.db*", ".*_cache", "*.egg-info", ".venv*"
        )
        shutil.copytree(source, self.checkout, ignore=left_behind)
        self.programs = folder / "programs"
        self._lay_out_programs()
        self.ports: dict[str, str] = {}
        usual = {name: self.port(name) for name in USUAL_PORTS}
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(OWN_SETTINGS)},
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "PORT": usual["5000"],
            "FLASK_RUN_PORT": usual["5000"],
            "GRANIAN_PORT": usual["8000"],
            "GUNICORN_CMD_ARGS": f"--bind 127.0.0.1:{usual['8000']}",
        }

    def _lay_out_programs(self) -> None:
        self.programs.mkdir()
        run = {"python": "", "python3": "", **{name: f" -m {name}" for name in PROGRAMS}}
        run["pip"] = f" {Path(__file__).parent / 'pip_stand_in.py'}"
        for name, arguments in run.items():
            program = self.programs / name
            program.write_text(f'#!/bin/sh\nexec {sys.executable}{arguments} "$@"\n')
            program.chmod(0o755)

    def port(self, written: str) -> str:
        """The free port that stands for one in the text, the same for the whole document."""
        if written not in self.ports:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.ports[written] = str(probe.getsockname()[1])
        return self.ports[written]

    def typed(self, code: str) -> str:
        return PORT.sub(lambda found: self.port(found[0]), code)

    def run(self, terminal: list[Block]) -> list[str]:
        """What each block printed. A server among them is stopped at the end, whatever happens."""
        if terminal[0].mark != "server":
            return self._type(terminal)
        server, *rest = terminal
        said = self.checkout.parent / f"server-{server.line}.txt"
        with said.open("w") as output, self._bash(self.typed(server.code), output, subprocess.STDOUT) as shell:
            ports = [self.port(name) for name in PORT.findall(server.code) or USUAL_PORTS]
            assert _listens(shell, ports), f"the server of line {server.line} did not start: {said.read_text()}"
            answers = self._type(rest) if rest else []
        return [said.read_text(), *answers]

    def _type(self, terminal: list[Block]) -> list[str]:
        cut = "@@ next block @@"
        script = f"\nprintf '%s' '{cut}'\n".join(self.typed(block.code) for block in terminal)
        with self._bash(script, subprocess.PIPE, subprocess.PIPE) as shell:
            try:
                printed, complaints = shell.communicate(timeout=SECONDS)
            except subprocess.TimeoutExpired:
                raise AssertionError(f"still running after {SECONDS} seconds: {script}") from None
        answers = printed.split(cut)
        line = terminal[len(answers) - 1].line
        assert shell.returncode == 0, f"the block at line {line} ends with {shell.returncode}: {printed}{complaints}"
        return answers

    @contextmanager
    def _bash(self, script: str, stdout: int | IO[str], stderr: int) -> Iterator[subprocess.Popen[str]]:
        with subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.checkout,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            text=True,
            start_new_session=True,
        ) as shell:
            try:
                yield shell
            finally:
                _end(shell)


def _listens(shell: subprocess.Popen[str], ports: list[str]) -> bool:
    """True when something accepts on one of the ports; False when the shell has ended or takes too long."""
    pause = threading.Event()
    for _ in range(SECONDS * 20):
        for port in ports:
            with suppress(OSError), socket.create_connection(("127.0.0.1", int(port)), timeout=1):
                return True
        if shell.poll() is not None:
            return False
        pause.wait(0.05)
    return False


def _end(shell: subprocess.Popen[str]) -> None:
    """Stop the shell and everything that it started: they share its process group."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(shell.pid, how)
        with suppress(subprocess.TimeoutExpired):
            shell.wait(timeout=10)


def differs(shown: str, printed: str) -> str | None:
    """The first piece of a shown output that was not printed, or None.

    An ellipsis and an empty line stand for anything between two pieces; spaces and line ends do not matter; a date is
    any date, a port any port.
    """
    place, output = 0, _flat(printed)
    for piece in filter(None, map(_flat, re.split(r"…|\n[ \t]*\n", shown))):
        place = output.find(piece, place)
        if place < 0:
            return piece
        place += len(piece)
    return None


def _flat(text: str) -> str:
    text = re.sub(r"\d{4}-\d{2}(-\d{2}(T[\d:.]+Z)?)?", "DATE", re.sub(r"127\.0\.0\.1:\d+", "ADDRESS", text))
    return re.sub(r"\s+", "", text)

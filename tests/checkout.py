"""The program in a clean folder of its own, started as a newcomer would start it, and stopped again."""

from __future__ import annotations

import json
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
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

ROOT = Path(__file__).parents[1]
PROGRAM = ("wsgi.py", "billing_db.py", "turf_saas", "api_v1")
LAST = 90  # seconds that a process may live
GRACE = 10  # seconds that it may take to stop
LISTENS = re.compile(r"(?:runs on|Running on|Listening at:?) (http://127\.0\.0\.1:\d+)")
PYTHON = [sys.executable, "wsgi.py"]
FLASK_RUN = [sys.executable, "-m", "flask", "--app", "wsgi", "run", "--port", "0"]
BILLING = [sys.executable, "-m", "flask", "--app", "wsgi", "billing"]
GUNICORN = [sys.executable, "-m", "gunicorn", "--no-control-socket", "--bind", "127.0.0.1:0", "wsgi:app"]
GRANIAN = [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1"]


class Checkout:
    """Only what runs is copied: no database, no secret, no .env."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in PROGRAM:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, folder / name)

    def environment(self, settings: dict[str, str]) -> dict[str, str]:
        """What a test sets, and nothing that a developer happens to have set."""
        kept = {name: value for name, value in os.environ.items() if name not in ("PORT", "FLASK_APP", "FLASK_DEBUG")}
        return kept | {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"} | settings

    def run(self, command: list[str], stdin: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
        """A command that ends by itself."""
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment(settings),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        end = threading.Timer(LAST, kill_group, [process.pid])
        end.start()
        said, complained = process.communicate(stdin)
        end.cancel()
        return subprocess.CompletedProcess(command, process.returncode, said, complained)

    @contextmanager
    def serving(self, command: list[str], **settings: str) -> Iterator[Server]:
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment(settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        server = Server(process)
        try:
            yield server
        finally:
            server.stop()


def kill_group(pid: int) -> None:
    """The process and its workers, which share a session of their own."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


class Server:
    """Somebody who listens; killed after a minute at the latest."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._end = threading.Timer(LAST, kill_group, [process.pid])
        self._end.daemon = True
        self._end.start()
        self.log: list[str] = []
        self._listens = threading.Event()
        self.url = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self._listens.wait()
        if not self.url:
            self.stop()
            raise AssertionError("it does not serve:\n" + "".join(self.log))
        while not self._accepts():  # granian says so a moment too early
            self._reader.join(0.05)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.log.append(line)
            found = LISTENS.search(line)
            if found:
                self.url = found[1]
                self._listens.set()
        self._listens.set()

    def _accepts(self) -> bool:
        host, port = self.url.removeprefix("http://").split(":")
        try:
            socket.create_connection((host, int(port)), timeout=GRACE).close()
        except OSError:
            return self.process.poll() is not None
        return True

    def log_until(self, last_line: str) -> str:
        """What was printed up to this line. It ends with the process at the latest."""
        while last_line not in "".join(self.log) and self._reader.is_alive():
            self._reader.join(0.02)
        return "".join(self.log)

    def stop(self) -> None:
        """A server that does not stop when it is asked to is cut off, with its workers."""
        self.process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(GRACE)
        kill_group(self.process.pid)
        self.process.wait()
        self._end.cancel()
        self._reader.join(LAST)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def get(self, path: str, **headers: str) -> tuple[int, Any, Any]:
        return self.ask(Request(self.url + path, headers=headers))

    def post(self, path: str, body: Any) -> tuple[int, Any, Any]:
        raw = json.dumps(body).encode()
        return self.ask(Request(self.url + path, raw, {"Content-Type": "application/json"}))

    def ask(self, request: Request) -> tuple[int, Any, Any]:
        """(status, headers, body): the body as JSON says it, or as text."""
        try:
            with build_opener(ProxyHandler({})).open(request, timeout=30) as reply:
                status, headers, raw = reply.status, reply.headers, reply.read()
        except HTTPError as error:
            with error:
                status, headers, raw = error.code, error.headers, error.read()
        is_json = headers.get_content_type() == "application/json"
        return status, headers, json.loads(raw) if is_json else raw.decode()

"""gunicorn with the small host of served.py, and another program that writes or holds the same database."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from tests import require
from tests.cast import SECRET

ROOT = Path(__file__).parents[2]
BILLING = "/api/v1/billing"


class Answer:
    def __init__(self, status: int, headers: Any, text: str) -> None:
        self.status, self.headers, self.text = status, headers, text

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Server:
    """A process of its own on a free port of this machine, killed after two minutes at the latest."""

    application = "tests.scenarios.served:app"
    seconds_to_live = 120

    def __init__(self, url: str, *options: str, **environment: str) -> None:
        try:
            import gunicorn  # noqa: F401
        except ImportError:
            require.without("gunicorn", "gunicorn is not installed: pip install gunicorn")
        with socket.create_server(("127.0.0.1", 0), backlog=256) as listening:  # requests queue until it is up
            self.address = f"http://127.0.0.1:{listening.getsockname()[1]}"
            bind = ["--bind", f"fd://{listening.fileno()}", "--no-control-socket", "--graceful-timeout", "2"]
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", *bind, *options, self.application],
                cwd=ROOT,
                env={**os.environ, "TURF_SAAS_DB": url, "JWT_SECRET_KEY": SECRET, **environment},
                pass_fds=[listening.fileno()],
                start_new_session=True,  # so that `kill` can end master and workers in one moment
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        self.log: list[str] = []
        self._reader = threading.Thread(target=self._read_log)
        self._reader.start()
        self._end = threading.Timer(self.seconds_to_live, self.process.kill)
        self._end.start()

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        self.log.extend(self.process.stderr)
        self.process.stderr.close()

    def stop(self) -> str:
        """What it logged."""
        self.process.terminate()
        self.process.wait(30)
        self._end.cancel()
        self._end.join()
        self._reader.join()
        return "".join(self.log)

    def kill(self) -> str:
        """End all of its processes at once, as nothing that they could answer to. What it logged."""
        if self.process.poll() is None:  # else the number may be somebody else's
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.stop()

    def ask(self, path: str, headers: dict[str, str] | None = None) -> Answer:
        request = Request(self.address + path, headers=headers or {})
        try:
            with build_opener(ProxyHandler({})).open(request, timeout=40) as reply:
                return Answer(reply.status, reply.headers, reply.read().decode())
        except HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read().decode())

    def ask_at_once(self, times: int, path: str, headers: dict[str, str] | None = None) -> list[Answer]:
        with ThreadPoolExecutor(min(times, 24)) as pool:
            return list(pool.map(lambda _: self.ask(path, headers), range(times)))


HOLDER = """
import sys
url, statements = sys.argv[1], sys.argv[2:]
if url.startswith("postgresql://"):
    import psycopg
    db = psycopg.connect(url, autocommit=True)
else:
    import sqlite3
    db = sqlite3.connect(url, isolation_level=None)
for statement in statements:
    db.execute(statement)
print("held", flush=True)
sys.stdin.read()
db.close()
"""


class AnotherProgram:
    """It runs its statements and keeps what they hold until the end of the `with` block."""

    def __init__(self, url: str, *statements: str) -> None:
        self.command = [sys.executable, "-c", HOLDER, url, *statements]

    def __enter__(self) -> None:
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "held\n"

    def __exit__(self, *_: object) -> None:
        self.process.communicate(timeout=30)
        assert self.process.returncode == 0

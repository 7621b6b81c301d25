"""Servers for the length of a measure: each in its own process group, on 127.0.0.1, gone afterwards."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bench.registry import CannotRun

CHECKOUT = Path(__file__).resolve().parent.parent
START_SECONDS = 30


def gunicorn(app: str, port: int) -> list[str]:
    """The README's server."""
    server = ["gunicorn", "--worker-class", "gthread", "--workers", "2", "--threads", "8"]
    return [sys.executable, "-m", *server, "--bind", f"127.0.0.1:{port}", "--log-level", "warning", app]


def granian(app: str, port: int) -> list[str]:
    server = ["granian", "--interface", "wsgi", "--workers", "2", "--blocking-threads", "8"]
    return [sys.executable, "-m", *server, "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning", app]


def installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(command: list[str], ready: str, folder: Path, environment: dict[str, str]) -> Iterator[int]:
    """The process group of that command's server, once `ready` answers 200. What it says goes to a file in folder."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("BILLING_", "STRIPE_", "TURF_SAAS_", "JWT_"))}
    log = folder / f"server-{free_port()}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**kept, "PYTHONPATH": str(CHECKOUT), **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait(process, ready, log)
        yield process.pid
    finally:
        _stop(process)


def _wait(process: subprocess.Popen[bytes], ready: str, log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        with suppress(urllib.error.URLError, OSError), urllib.request.urlopen(ready, timeout=5):
            return
        time.sleep(0.1)
    raise CannotRun(f"the server did not start: {log.read_text(errors='replace')[-4000:].strip()}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    for farewell, seconds in ((signal.SIGTERM, 10), (signal.SIGKILL, 5)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, farewell)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return


def cpu_seconds(group: int) -> float:
    """The processor time that the processes of a group have used, as Linux tells it."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # a process that has just ended
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group:
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def private_postgresql() -> Iterator[Any]:
    """A cluster as the tests use it: new, private, thrown away."""
    from tests import postgres

    reason = postgres.why_not()
    if reason:
        raise CannotRun(reason)
    with postgres.Cluster() as cluster:
        yield cluster

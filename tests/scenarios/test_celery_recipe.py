"""The recipe of docs/jobs.md for Celery beat, with a real Celery on a real Redis."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest

from billing_db import Connection, fetch_all
from tests import require
from tests.cast import Cast
from tests.domain.issuing import at
from tests.scenarios.serving import ROOT
from turf_saas import jobs
from turf_saas.schedule import SCHEDULE, list_schedule

BOUND = 60  # seconds

# The recipe is the same whatever the database is.
pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[str]:
    """The URL of a Redis of the test's own, which keeps nothing."""
    for module in ("celery", "redis"):
        if find_spec(module) is None:
            require.without("redis", f"{module} is not installed: pip install 'celery[redis]'")
    if shutil.which("redis-server") is None:
        require.without("redis", "no redis-server here: apt-get install redis-server")
    with socket.create_server(("127.0.0.1", 0)) as free:  # it cannot choose a port by itself
        port = free.getsockname()[1]
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(tmp_path)]
    with subprocess.Popen(["redis-server", *options], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:  # ends when the server does
            said.append(line)
            if "Ready to accept connections" in line:
                break
        else:
            pytest.fail("".join(said))
        yield f"redis://127.0.0.1:{port}/0"
        process.kill()


class Worker:
    """Celery's worker with two processes, and beat, which leaves its notes in the folder that it is started in."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self._log = folder / "celery.log"
        command = [sys.executable, "-m", "celery", "-A", "tests.scenarios.celery_host", "worker", "--beat"]
        around = {name: value for name, value in os.environ.items() if not name.startswith("CELERY")}
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [*command, "--concurrency", "2", "--loglevel", "INFO"],
                cwd=folder,
                env={**around, "PYTHONPATH": str(ROOT), "BILLING_ENV": "testing", **environment},
                stdout=log,
                stderr=log,
                start_new_session=True,  # so that what it has started ends with it
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    def has_done(self, turns: int) -> bool:
        return self.log.count("succeeded in") >= turns

    def wait_until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + BOUND
        while not done():
            assert self.process.poll() is None, f"it has ended: {self.log}"
            assert time.monotonic() < deadline, f"nothing comes: {self.log}"
            time.sleep(0.05)

    def end(self) -> None:
        if self.process.poll() is None:  # else the number may be somebody else's
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(BOUND)


@pytest.fixture
def worker(broker: str, url: str, tmp_path: Path) -> Iterator[Worker]:
    started = Worker(tmp_path, HOST_DB=url, HOST_BROKER=broker, HOST_SECONDS="0.5")
    yield started
    started.end()


def is_completed(db: Connection, job_id: int) -> bool:
    return jobs.get_job(db, job_id).state == "completed"


def test_beat_has_the_schedule_and_the_hosts_jobs_done_turn_by_turn_until_celery_is_told_to_stop(
    db: Connection, people: Cast, worker: Worker
) -> None:
    for turn, person in enumerate((people.alice, people.bob), 1):
        job_id = jobs.enqueue(db, at(1, 1), "rename", {"user_id": person.id}) or 0
        worker.wait_until(partial(is_completed, db, job_id))
        worker.wait_until(partial(worker.has_done, turn))
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(BOUND) == 0, worker.log
    assert [row["name"] for row in fetch_all(db, "SELECT name FROM users ORDER BY id")][:2] == [
        "alice of host",
        "bob of host",
    ]
    begun = [one.job_id for one in list_schedule(db) if one.begun_at]
    assert len(begun) == len(SCHEDULE)
    assert {jobs.get_job(db, job_id or 0).state for job_id in begun} == {"completed"}
    assert "ERROR" not in worker.log, worker.log

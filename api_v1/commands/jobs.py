"""`flask billing run-due`, `worker` and `jobs …`: the work that time brings, by cron or by a process of its own."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from types import FrameType
from typing import Any

import click
from flask.cli import AppGroup

from api_v1.blueprint import billing_bp
from api_v1.commands.shared import as_json, dry_run, in_one_sentence, show
from api_v1.face_jobs import around, kinds_of
from api_v1.runtime import current_runtime
from billing_db import DatabaseError
from turf_saas import jobs as stored, schedule as periodic
from turf_saas.jobs import STATES, Job
from turf_saas.rehearsal import rehearsal
from turf_saas.schedule import Standing
from turf_saas.working import Ran, list_due, run_due

jobs = AppGroup("jobs", help="Stored work: what waits, what failed and why, and what is done again and again.")
billing_bp.cli.add_command(jobs)


def _told(ran: Ran) -> str:
    told = f"{ran.completed} jobs done, {ran.retryable} to be tried again, {ran.dead} parked, {ran.lost} taken over"
    return f"{told}, {ran.put_off} put off" if ran.put_off else told


# -- run-due, worker ---------------------------------------------------------------------------------


@billing_bp.cli.command("run-due")
@click.option("--most", type=click.IntRange(1), default=10_000, show_default=True, help="How many jobs at most.")
@as_json
@dry_run
@in_one_sentence
def run_due_once(most: int, as_json: bool, dry_run: bool) -> None:
    """Do what is due, once: for cron or a systemd timer. Exit 1 when something failed; it is tried again later."""
    runtime = current_runtime()
    if dry_run:
        due = list_due(runtime.db(), runtime.now(), most=most)
        names = [job.name for job in due]
        show({"dry_run": True, "due": names}, as_json, [*names, f"{len(names)} jobs would be done"])
        return
    ran = run_due(runtime.db(), runtime.now, around(runtime), kinds_of(runtime), most=most)
    show(asdict(ran), as_json, [_told(ran)])
    if ran.retryable or ran.dead:
        click.get_current_context().exit(1)


@billing_bp.cli.command("worker")
@click.option(
    "--every", type=click.FloatRange(0.1, 3600), default=5.0, show_default=True, help="Seconds between looks."
)
@click.option("--ticks", type=click.IntRange(1), default=None, help="Stop after so many looks.")
@in_one_sentence
def worker(every: float, ticks: int | None) -> None:
    """Do what is due, again and again, until SIGTERM or Ctrl-C: then the job under way is finished first.

    Any number of workers may run at once.
    """
    runtime = current_runtime()
    click.echo("billing worker: at work", err=True)
    done = 0
    with _asked_to_stop() as stop:
        while not stop() and (ticks is None or done < ticks):
            if done:
                stop(every)
                if stop():
                    break
            try:
                told = _told(run_due(runtime.db(), runtime.now, around(runtime), kinds_of(runtime), stop=stop))
            except DatabaseError as error:  # busy, or gone for a while: what was claimed is free when its lease ends
                told = str(error)
            done += 1
            click.echo(f"billing worker: {told}", err=True)
    click.echo("billing worker: stopped", err=True)


@contextmanager
def _asked_to_stop() -> Iterator[Callable[..., bool]]:
    """Whether SIGTERM or Ctrl-C came, asked at once or within so many seconds.

    By a pipe: what else wakes a thread that waits has locks, which a signal in this same thread may find taken.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)

    def ask(_signal: int, _frame: FrameType | None) -> None:
        with suppress(BlockingIOError):
            os.write(writing, b".")

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda seconds=0.0: bool(select.select([reading], [], [], seconds)[0])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)


# -- jobs --------------------------------------------------------------------------------------------


@jobs.command("list")
@click.option("--state", type=click.Choice(STATES), default=None, help="Only these.")
@click.option("--name", default=None, help="Only jobs of this name.")
@click.option("--limit", "most", type=click.IntRange(1, 1000), default=20, show_default=True)
@as_json
@in_one_sentence
def list_stored(state: str | None, name: str | None, most: int, as_json: bool) -> None:
    """The newest first, and how many are in each state."""
    db = current_runtime().db()
    found, counts = stored.list_jobs(db, state=state, name=name, limit=most), stored.count_by_state(db)
    show({"counts": counts, "jobs": [asdict(job) for job in found]}, as_json, _lines(found, counts))


def _lines(found: Sequence[Job], counts: dict[str, int]) -> Iterator[str]:
    for job in found:
        error = f"  {job.last_error.splitlines()[0][:80]}" if job.last_error and job.state != "completed" else ""
        yield f"{job.id}  {job.name}  {job.state}  due {job.run_at}  {job.attempts} of {job.max_attempts}{error}"
    yield ", ".join(f"{many} {state}" for state, many in counts.items())


@jobs.command("show")
@click.argument("job_id", type=int)
@as_json
@in_one_sentence
def show_job(job_id: int, as_json: bool) -> None:
    """One job with its payload and its last error."""
    job = stored.get_job(current_runtime().db(), job_id)
    shown: dict[str, Any] = {name: value for name, value in asdict(job).items() if name != "lease_token"}
    show(shown, as_json, (f"{name}: {value}" for name, value in shown.items() if value is not None))


@jobs.command("retry")
@click.argument("job_ids", metavar="JOB...", type=int, nargs=-1, required=True)
@as_json
@dry_run
@in_one_sentence
def retry(job_ids: tuple[int, ...], as_json: bool, dry_run: bool) -> None:
    """Make parked or waiting jobs due now, with all of their attempts again: all of them, or none."""
    runtime = current_runtime()
    db = runtime.db()
    with rehearsal(db, dry_run=dry_run):
        again = [stored.retry(db, runtime.now(), job_id) for job_id in job_ids]
    answer = {"dry_run": dry_run, "jobs": [asdict(job) for job in again]}
    show(answer, as_json, (f"{job.id}  {job.name}  {job.state}" for job in again))


@jobs.command("schedule")
@as_json
@in_one_sentence
def show_schedule(as_json: bool) -> None:
    """What is done again and again: how often, when last, when next."""
    found = periodic.list_schedule(current_runtime().db())
    answer = [{**one._asdict(), "every": int(one.every.total_seconds())} for one in found]
    show({"schedule": answer}, as_json, map(_standing, found))


def _standing(one: Standing) -> str:
    last = f"last {one.begun_at}, next {one.next_at}" if one.begun_at else "not yet"
    return f"{one.name}  every {one.every}  {last}  {one.summary}"

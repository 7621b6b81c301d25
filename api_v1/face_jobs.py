"""Jobs in Python: a host enqueues work in its own transactions, gives it names of its own, and lets it be done."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from api_v1.face_invoices import InvoicingFace
from api_v1.runtime import HostJobs, Runtime
from api_v1.telling import tell_issued, tell_notices, tell_what_time_brought
from billing_db import Connection
from turf_saas import jobs
from turf_saas.errors import InvalidInput
from turf_saas.job_kinds import KINDS
from turf_saas.values import can_be_stored, compact_json
from turf_saas.working import Around, Kind, Kinds, Ran, Work, run_due, run_stored

OURS = "billing."
MAX_NAME = 200
TICK_SECONDS = 60
HostJob = TypeVar("HostJob", bound=Callable[[Mapping[str, Any], Connection], Any])


def around(runtime: Runtime) -> Around:
    """What the work of this app needs to know."""
    return Around(
        runtime.settings,
        runtime.tax_of,
        partial(tell_issued, runtime),
        partial(tell_what_time_brought, runtime),
        partial(tell_notices, runtime),
        runtime.gateway,
        runtime.stripe,
    )


def kinds_of(runtime: Runtime) -> Kinds:
    """What billing does, and what the host has added."""
    return {**{name: Kind(partial(_do, do)) for name, do in runtime.host_jobs.items()}, **KINDS}


def _do(do: Callable[[Mapping[str, Any], Connection], Any], work: Work) -> None:
    do(work.payload, work.db)


class WorkingFace(InvoicingFace):
    """What the extension object can do about jobs."""

    @abstractmethod
    def _own_jobs(self) -> HostJobs: ...

    def job(self, name: str) -> Callable[[HostJob], HostJob]:
        """Jobs of this name call the function with their payload and the connection of their transaction.

        What it writes there and the job's end are one commit; when it raises, neither is. It keeps others from writing
        (on SQLite, all), so nothing that waits belongs into it.
        """
        checked = _name(name)
        if checked.startswith(OURS):
            raise ValueError(f"{name!r}: names that begin with {OURS!r} are billing's own")

        def register(do: HostJob) -> HostJob:
            if self._own_jobs().setdefault(checked, do) is not do:
                raise ValueError(f"there are two functions for jobs called {name!r}")
            return do

        return register

    def enqueue(
        self,
        job_name: str,
        *,
        run_at: datetime | None = None,
        dedupe_key: str | None = None,
        db: Any = None,
        **payload: Any,
    ) -> int | None:
        """The id of the job that is stored, in the caller's transaction; None where this dedupe key was used before.

        It is due at run_at, or at once.
        """
        name = _name(job_name)
        if run_at is not None:
            run_at = _instant(run_at, "run_at")
        if dedupe_key is not None:
            dedupe_key = _name(dedupe_key, "dedupe_key")
        _refuse_unwritable(payload)
        runtime = self._runtime()
        return jobs.enqueue(self._lent(db), runtime.now(), name, payload, run_at=run_at, dedupe_key=dedupe_key)

    def process_one(self, now: datetime | None = None) -> bool:
        """The stored job that is due longest is done, fails or is parked. False when none is due.

        Periodic work is run_due's.
        """
        given = None if now is None else _instant(now, "now")
        runtime = self._runtime()
        clock = runtime.now if given is None else lambda: given
        with runtime.app.app_context():
            return run_stored(runtime.db(), clock, around(runtime), kinds_of(runtime), most=1).many > 0

    def run_due(self, *, most: int = 10_000) -> Ran:
        """All that is due, periodic work and stored jobs: what `flask billing run-due` does."""
        runtime = self._runtime()
        with runtime.app.app_context():
            return run_due(runtime.db(), runtime.now, around(runtime), kinds_of(runtime), most=most)

    def register_jobs(self, add: Callable[[str, int, Callable[[], Ran]], Any]) -> None:
        """For the host's own scheduler: add(name, seconds, function) is called for what it is to call so often."""
        face: WorkingFace = self._runtime().app.extensions["billing"]  # this app's, wherever it is called

        def run_due() -> Ran:  # no method: Celery would ask for its self
            return face.run_due()

        add("billing.run_due", TICK_SECONDS, run_due)


def _refuse_unwritable(payload: Mapping[str, Any]) -> None:
    try:
        compact_json(payload).encode()
    except (TypeError, ValueError, RecursionError):
        raise InvalidInput("job_payload_invalid") from None


def _instant(given: Any, field: str) -> datetime:
    if not isinstance(given, datetime) or given.tzinfo is None:
        raise InvalidInput("instant_without_zone", field=field)
    return given.astimezone(UTC)


def _name(given: Any, field: str = "job_name") -> str:
    if not isinstance(given, str) or not 1 <= len(given) <= MAX_NAME or not can_be_stored(given):
        raise InvalidInput("job_name_invalid", field=field, most=MAX_NAME)
    return given

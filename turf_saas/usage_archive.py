"""Old events go to a file and leave the database; their days and keys stay."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from billing_db import Connection, execute, fetch_all, fetch_each, fetch_one, lock, snapshot
from turf_saas.errors import Conflict, InvalidInput, NotFound
from turf_saas.ids import insert_row
from turf_saas.new_files import absolute, give_name, unnamed
from turf_saas.rehearsal import rehearsal
from turf_saas.settings import Settings
from turf_saas.usage import OLDEST
from turf_saas.usage_check import Disagreement, Kind, Progress, archived_before, find_days, room_for_pages, silent
from turf_saas.values import UserId, instant_text, local_day

COLUMNS = (
    "id", "tenant_id", "user_id", "metric", "quantity", "day", "at", "recorded_at", "idempotency_key", "metadata",
    "corrects",
)  # fmt: skip
STEP = 5000  # events between two signs of progress


@dataclass(frozen=True)
class Archive:
    """`sha256` is that of the file as it lies there, compressed or not."""

    before_day: str
    events: int
    file: str
    sha256: str | None


# -- writing -----------------------------------------------------------------------------------------


def archive(
    db: Connection,
    now: datetime,
    settings: Settings,
    before: date,
    file: Path,
    *,
    dry_run: bool = False,
    progress: Progress = silent,
) -> Archive:
    """The events before that day are in the file, safe on the disk, and no longer in the database.

    The file gets its name at the very end, before the deletion is saved: killed at any moment, nothing is lost.
    """
    file = absolute(file)
    _refuse_day(db, now, settings, before)
    with unnamed(file) as temporary:
        with snapshot(db):
            total = _count(db, before)
            if not total:
                return Archive(before.isoformat(), 0, str(file), None)
            _refuse_disagreement(db, before)
            _write(db, before, temporary, gzipped=file.suffix == ".gz", tell=lambda done: progress(done, total))
        made = Archive(before.isoformat(), total, str(file), _sha256(temporary))
        with room_for_pages(db), rehearsal(db, dry_run=dry_run):
            lock(db, "billing_usage_archive")
            _refuse_day(db, now, settings, before)
            if _count(db, before) != total:  # an admin's correction of an old event, just now
                raise Conflict("archive_disturbed")
            _take_out(db, now, made)
            if not dry_run:
                give_name(temporary, file)
    return made


def _refuse_day(db: Connection, now: datetime, settings: Settings, before: date) -> None:
    """Late events and corrections may still come for 36 days, and for the month and the one before."""
    today = local_day(now, settings.timezone)
    month_before = (today.replace(day=1) - timedelta(days=1)).replace(day=1)
    latest = min(month_before, today - OLDEST - timedelta(days=1))
    if before > latest:
        raise InvalidInput("archive_too_recent", day=before.isoformat(), latest=latest.isoformat())
    former = archived_before(db)
    if former is not None and before.isoformat() <= former:
        raise Conflict("archive_done", day=before.isoformat(), former=former)


def _refuse_disagreement(db: Connection, before: date) -> None:
    """What is wrong can be mended as long as the events are there."""
    for found in find_days(db):
        if found.kind == "day" and str(found.period) < before.isoformat():
            raise Conflict("archive_disagrees", found=found.sentence)


def _count(db: Connection, before: date) -> int:
    row = fetch_one(db, "SELECT COUNT(*) AS events FROM usage_events WHERE day < :before", before=before.isoformat())
    return int(row["events"]) if row else 0


def _write(db: Connection, before: date, temporary: Path, *, gzipped: bool, tell: Callable[[int], None]) -> None:
    """Day after day, a JSON object a line, and all of it on the disk."""
    rows = fetch_each(
        db,
        f"SELECT {', '.join(COLUMNS)} FROM usage_events WHERE day < :before ORDER BY day, user_id, id",  # noqa: S608
        before=before.isoformat(),
    )
    with temporary.open("wb") as raw:
        with gzip.GzipFile("", "wb", fileobj=raw, mtime=0) if gzipped else nullcontext(raw) as out:
            for done, row in enumerate(rows, 1):
                out.write(json.dumps({name: row[name] for name in COLUMNS}, ensure_ascii=False).encode() + b"\n")
                if done % STEP == 0:
                    tell(done)
        raw.flush()
        os.fsync(raw.fileno())


def _take_out(db: Connection, now: datetime, made: Archive) -> None:
    """The record first: without it no event can be deleted. Each key says from now on where its event is."""
    archive_id = insert_row(
        db,
        "usage_archives",
        "id",
        before_day=made.before_day,
        events=made.events,
        file=made.file,
        sha256=made.sha256,
        archived_at=instant_text(now),
    )
    execute(
        db,
        """UPDATE usage_keys SET archive_id = :archive_id FROM usage_events AS e
            WHERE e.day < :before AND usage_keys.user_id = e.user_id
              AND usage_keys.idempotency_key = e.idempotency_key AND usage_keys.event_id = e.id""",
        archive_id=archive_id,
        before=made.before_day,
    )
    execute(db, "DELETE FROM usage_events WHERE day < :before", before=made.before_day)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


# -- proving -----------------------------------------------------------------------------------------


def list_archives(db: Connection) -> list[Archive]:
    rows = fetch_all(db, "SELECT before_day, events, file, sha256 FROM usage_archives ORDER BY before_day")
    return [Archive(row["before_day"], row["events"], row["file"], row["sha256"]) for row in rows]


def check_file(db: Connection, file: Path) -> tuple[Archive, list[Disagreement]]:
    """The archive that the file is, unchanged, and the days that are not the sum of its events."""
    try:
        sha256 = _sha256(file)
    except OSError as error:
        raise InvalidInput("file_unusable", file=str(file), reason=error.strerror or str(error)) from None
    with snapshot(db):
        archives = list_archives(db)
        place = next((n for n, known in enumerate(archives) if known.sha256 == sha256), None)
        if place is None:
            raise NotFound("archive_unknown", file=str(file))
        first = archives[place - 1].before_day if place else ""
        end = archives[place].before_day
        return archives[place], list(_differing_days(db, file, first, end))


def _differing_days(db: Connection, file: Path, first: str, end: str) -> Iterator[Disagreement]:
    """Of the days that this archive took the events of: those before its own first day are an older one's."""
    seen = set()
    for day, sums in _sums_by_day(file):
        seen.add(day)
        stored = {(row["user_id"], row["metric"]): row for row in _rows_of(db, day, day + "~")}
        for user_id, metric in sorted(sums.keys() | stored.keys()):
            row = stored.get((user_id, metric))
            truth, total = sums.get((user_id, metric), (0, 1))[0], row["total"] if row else 0
            if truth != total:
                kind: Kind = "day" if (user_id, metric) in sums else "unexplained"
                tenant_id = row["tenant_id"] if row else sums[user_id, metric][1]
                yield Disagreement(kind, user_id, metric, day, truth, total, tenant_id)
    for row in _rows_of(db, first, end):
        if row["day"] not in seen and row["total"]:
            yield Disagreement(
                "unexplained", row["user_id"], row["metric"], row["day"], 0, row["total"], row["tenant_id"]
            )


def _rows_of(db: Connection, first: str, end: str) -> Iterator[Any]:
    return fetch_each(
        db,
        """SELECT tenant_id, user_id, metric, period_start AS day, total FROM usage_aggregates
            WHERE period_start >= :first AND period_start < :end ORDER BY period_start, user_id, metric""",
        first=first,
        end=end,
    )


def _sums_by_day(file: Path) -> Iterator[tuple[str, dict[tuple[UserId, str], tuple[int, int]]]]:
    """Each day with what every user used of every metric, and his tenant: the file is in the order of days."""
    with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as lines:
        for day, events in groupby(map(json.loads, lines), itemgetter("day")):
            sums: dict[tuple[UserId, str], tuple[int, int]] = {}
            for event in events:
                place = (event["user_id"], event["metric"])
                sums[place] = (sums.get(place, (0, 0))[0] + event["quantity"], event["tenant_id"])
            yield day, sums

"""What was used: written once, as calls of the host's API or as events. Days and months follow in the same breath."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from billing_db import Connection, RuleBroken, atomic, engine, execute, execute_many, fetch_all, fetch_one, lock
from turf_saas.closing_months import list_closed_of
from turf_saas.errors import TOLD, BillingError, Conflict, InvalidInput, NotFound
from turf_saas.ids import new_ids
from turf_saas.many import parts
from turf_saas.settings import Settings
from turf_saas.values import UserId, instant_text, local_day

API_CALLS = "api_calls"
Values = dict[str, Any]  # of a row, by name
OLDEST = timedelta(days=35)
NEWEST = timedelta(minutes=5)
CONFLICT = "idempotency_conflict"
INVOICED = "period_invoiced"
AT_ONCE = 20  # rows in one INSERT; keys are random and lie far apart, so each is one of its own


class NewEvent(NamedTuple):
    """Something that was used, as somebody reports it. `metadata` is JSON, `at` is None for now."""

    user_id: UserId
    tenant_id: int
    metric: str
    quantity: int
    at: datetime | None = None
    key: str | None = None
    metadata: str | None = None
    corrects: str | None = None


class Recorded(NamedTuple):
    id: str
    duplicate: bool


@dataclass(frozen=True)
class EventFault:
    """What is wrong with which of several events."""

    index: int
    field: str
    code: str


class EventsRefused(InvalidInput):
    """None of the events is on record; `of_events` has all that is wrong with them."""

    def __init__(self, of_events: list[EventFault]) -> None:
        where = ", ".join(f"{fault.index}: {fault.field}" for fault in of_events[:TOLD])
        super().__init__("invalid_input", where=where)
        self.of_events = of_events

    def of_one(self) -> BillingError:
        """The refusal of the only event that there was."""
        fault = self.of_events[0]
        return (Conflict if fault.code in (CONFLICT, INVOICED) else InvalidInput)(fault.code, field=fault.field)


# -- calls of the host's API -------------------------------------------------------------------------


def add_calls(db: Connection, now: datetime, day: str, user_id: UserId, endpoint: str, calls: int) -> None:
    """API calls of the user are on record for a day, in the caller's transaction."""
    try:
        execute(
            db,
            """INSERT INTO consumption_log (user_id, date, api_calls, endpoint, created_at)
               VALUES (:user_id, :day, :calls, :endpoint, :now)
               ON CONFLICT (user_id, date, endpoint)
               DO UPDATE SET api_calls = consumption_log.api_calls + excluded.api_calls""",
            user_id=user_id,
            day=day,
            calls=calls,
            endpoint=endpoint,
            now=instant_text(now),
        )
    except RuleBroken as error:
        if "check" not in str(error).lower():  # the user is gone
            raise
        raise InvalidInput("day_is_full") from None  # a row of the log holds 2^53 calls


def uncount_call(db: Connection, day: str, user_id: UserId, endpoint: str, calls: int = 1) -> None:
    """Calls that were counted on that day are given back."""
    with atomic(db, durable=False):
        execute(
            db,
            """UPDATE consumption_log SET api_calls = api_calls - :calls
                WHERE user_id = :user_id AND date = :day AND endpoint = :endpoint AND api_calls >= :calls""",
            user_id=user_id,
            day=day,
            endpoint=endpoint,
            calls=calls,
        )


# -- events ----------------------------------------------------------------------------------------


def record_event(db: Connection, now: datetime, settings: Settings, event: NewEvent) -> Recorded:
    """One event is on record. The same key with the same content: the first event again."""
    prepared = prepare(now, settings, [event])
    with atomic(db):
        return add_one(db, now, prepared)


def record_events(db: Connection, now: datetime, settings: Settings, events: Sequence[NewEvent]) -> list[Recorded]:
    """All of the events are on record with their days, or EventsRefused and none of them is."""
    prepared = prepare(now, settings, events)
    with atomic(db):
        return add_prepared(db, now, prepared)


class Prepared(NamedTuple):
    """Events as rows: worked out before the transaction, for while one writes nobody else does.

    first: which event is the first with a key. content: of each event that has a key, what was sent. past: which ones
    are of another month than this, where what comes late is refused.
    """

    events: Sequence[NewEvent]
    rows: list[Values]
    key_rows: list[Values]
    days: list[Values]
    first: dict[tuple[UserId, str], int]
    content: dict[int, int]
    past: list[int]


def prepare(now: datetime, settings: Settings, events: Sequence[NewEvent], *, day: str | None = None) -> Prepared:
    """What will be written. day: on which they all count, where that is not to be told from `at`."""
    recorded = instant_text(now)
    today = day or local_day(now, settings.timezone).isoformat()
    ids = new_ids(now, len(events))
    rows: list[Values] = []
    first: dict[tuple[UserId, str], int] = {}
    content: dict[int, int] = {}
    contents: dict[tuple[Any, ...], int] = {}  # most events of a batch differ in their users and keys only
    for index, (event_id, event) in enumerate(zip(ids, events, strict=True)):
        user_id, tenant_id, metric, quantity, at, key, metadata, corrects = event
        rows.append(
            {
                "id": event_id,
                "tenant_id": tenant_id,
                "user_id": user_id,
                "metric": metric,
                "quantity": quantity,
                "day": today if at is None else local_day(at, settings.timezone).isoformat(),
                "at": recorded if at is None else instant_text(at),
                "now": recorded,
                "key": key,
                "metadata": metadata,
                "corrects": corrects,
            }
        )
        if key is not None:
            sent = (metric, quantity, at, metadata, corrects)
            if sent not in contents:
                contents[sent] = _content(event)
            content[index] = contents[sent]
            first.setdefault((user_id, key), index)
    key_rows = [
        {"user_id": key[0], "key": key[1], "content": content[i], "id": ids[i], "tenant_id": events[i].tenant_id}
        for key, i in sorted(first.items())  # in one order for everybody: two batches never wait for each other
    ]
    past: list[int] = []
    if settings.late_usage == "reject":
        month = local_day(now, settings.timezone).isoformat()[:7]
        past = [index for index, row in enumerate(rows) if row["day"][:7] != month]
    return Prepared(events, rows, key_rows, _days(rows), first, content, past)


def _days(rows: Sequence[Values]) -> list[Values]:
    """The sums of the events per user, metric and day, in one order for everybody."""
    sums: dict[tuple[UserId, str, str], int] = defaultdict(int)
    for row in rows:
        sums[row["user_id"], row["metric"], row["day"]] += row["quantity"]
    tenants = {row["user_id"]: row["tenant_id"] for row in rows}
    return [
        {
            "user_id": user_id,
            "metric": metric,
            "day": day,
            "total": total,
            "tenant_id": tenants[user_id],
            "now": rows[0]["now"],
        }
        for (user_id, metric, day), total in sorted(sums.items())
    ]


def add_one(db: Connection, now: datetime, prepared: Prepared) -> Recorded:
    """The only event that was prepared is on record: see add_prepared."""
    try:
        return add_prepared(db, now, prepared)[0]
    except EventsRefused as refused:
        raise refused.of_one() from None


def add_prepared(db: Connection, now: datetime, prepared: Prepared) -> list[Recorded]:
    """On record, in the caller's transaction. A refusal has to end it: a savepoint would copy every page it changes."""
    found, faults = _claim_keys(db, prepared)
    for index, event in enumerate(prepared.events):
        if event.at is not None and index not in found and not now - OLDEST <= event.at <= now + NEWEST:
            faults[index] = EventFault(index, "at", "at_too_old" if event.at < now else "at_in_future")
    for index in _list_invoiced(db, prepared, found) if prepared.past else ():
        faults.setdefault(index, EventFault(index, "at", INVOICED))
    if faults:
        raise EventsRefused([fault for _, fault in sorted(faults.items())])
    rows, days = prepared.rows, prepared.days
    if found:
        rows = [row for index, row in enumerate(rows) if index not in found]
        days = _days(rows)
    _insert(db, rows, days)
    return [Recorded(found.get(index) or row["id"], index in found) for index, row in enumerate(prepared.rows)]


def _claim_keys(db: Connection, prepared: Prepared) -> tuple[dict[int, str], dict[int, EventFault]]:
    """Take the events' keys. What was taken before: the first event's id per index, or a fault for another content."""
    added = execute_many(
        db,
        """INSERT INTO usage_keys (user_id, idempotency_key, content, event_id, tenant_id)
           VALUES (:user_id, :key, :content, :id, :tenant_id) ON CONFLICT DO NOTHING""",
        prepared.key_rows,
    )
    if added == len(prepared.content):
        return {}, {}
    stored = _find_keys(db, list(prepared.first))
    found, faults = {}, {}
    for index, content in prepared.content.items():
        row = prepared.rows[index]
        event_id, stored_content = stored[row["user_id"], row["key"]]
        if stored_content != content:
            faults[index] = EventFault(index, "idempotency_key", CONFLICT)
        elif event_id != row["id"]:
            found[index] = event_id
    return found, faults


def _find_keys(db: Connection, keys: list[tuple[UserId, str]]) -> dict[tuple[UserId, str], tuple[str, int]]:
    """The event and the content of each key."""
    found = {}
    for part in parts(keys):
        asked = ", ".join(f"(:u{n}, :k{n})" for n in range(len(part)))
        values: dict[str, UserId] = {}
        for n, (user_id, key) in enumerate(part):
            values |= {f"u{n}": user_id, f"k{n}": key}
        for row in fetch_all(
            db,
            f"""SELECT user_id, idempotency_key, content, event_id FROM usage_keys
                 WHERE (user_id, idempotency_key) IN (VALUES {asked})""",  # noqa: S608  placeholders
            **values,
        ):
            found[row["user_id"], row["idempotency_key"]] = (row["event_id"], row["content"])
    return found


def _list_invoiced(db: Connection, prepared: Prepared, found: Mapping[int, str]) -> list[int]:
    """Which of the new events are of a month that their user has been invoiced for."""
    rows = {index: prepared.rows[index] for index in prepared.past if index not in found}
    months = {index: (row["user_id"], row["day"][:7]) for index, row in rows.items()}
    closed = list_closed_of(db, sorted(set(months.values())))
    return [index for index, month in months.items() if month in closed]


def _content(event: NewEvent) -> int:
    """What the client sent, as 64 bits: the server's own clock is not in it, so a retry without `at` is the same."""
    at = event.at.astimezone(UTC).isoformat() if event.at is not None else ""
    sent = "\0".join((event.metric, str(event.quantity), at, event.metadata or "", event.corrects or ""))
    return int.from_bytes(hashlib.sha256(sent.encode()).digest()[:8], signed=True)


def _insert(db: Connection, rows: Sequence[Values], days: Sequence[Values]) -> None:
    """The events and their days. The days' triggers touch the counters: those come first, in one order."""
    execute_many(
        db,
        """INSERT INTO usage_events (id, tenant_id, user_id, metric, quantity, day, at, recorded_at,
                                     idempotency_key, metadata, corrects)
           VALUES (:id, :tenant_id, :user_id, :metric, :quantity, :day, :at, :now, :key, :metadata, :corrects)""",
        rows,
        at_once=AT_ONCE,
    )
    touch_counters(db, days)
    _add_to_days(db, days)


def touch_counters(db: Connection, days: Sequence[Values]) -> None:
    """On PostgreSQL: hold the counters' rows before the days', in one order, or two batches could lock each other.

    The newest month first: whoever judges holds this month's when he takes back what was held in an older one.
    """
    if engine(db) != "postgresql":
        return
    months = {(day["user_id"], str(day["day"])[:7], day["metric"]): day["tenant_id"] for day in days}
    ordered = sorted(sorted(months.items()), key=lambda counter: counter[0][1], reverse=True)
    execute_many(
        db,
        """INSERT INTO usage_counters (user_id, month, metric, tenant_id) VALUES (:user_id, :month, :metric, :tenant_id)
           ON CONFLICT (user_id, month, metric) DO UPDATE SET used = usage_counters.used""",
        [
            {"user_id": user_id, "month": month, "metric": metric, "tenant_id": tenant_id}
            for (user_id, month, metric), tenant_id in ordered
        ],
    )


def _add_to_days(db: Connection, days: Sequence[Values]) -> None:
    """A correction changes the day of its event, which is there: as a new row it would be less than nothing."""
    if days and int(days[0]["total"]) < 0:
        execute_many(
            db,
            """UPDATE usage_aggregates SET total = total + :total, updated_at = :now
                WHERE user_id = :user_id AND metric = :metric AND period_start = :day""",
            days,
        )
        return
    try:
        execute_many(
            db,
            """INSERT INTO usage_aggregates (user_id, metric, period_start, total, tenant_id, created_at, updated_at)
               VALUES (:user_id, :metric, :day, :total, :tenant_id, :now, :now)
               ON CONFLICT (user_id, metric, period_start)
               DO UPDATE SET total = usage_aggregates.total + excluded.total, updated_at = excluded.updated_at""",
            days,
            at_once=AT_ONCE,
        )
    except RuleBroken:  # a day holds 512 times the largest quantity
        raise InvalidInput("day_is_full") from None


# -- corrections -------------------------------------------------------------------------------------


def correct_event(
    db: Connection,
    now: datetime,
    settings: Settings,
    tenant_id: int,
    corrects: str,
    quantity: int,
    *,
    key: str | None = None,
    metadata: str | None = None,
) -> Recorded:
    """Part or all of an event is taken back, on the event's own day. quantity is negative."""
    with atomic(db):
        lock(db, f"billing_correct_{corrects}")
        event = fetch_one(
            db,
            "SELECT user_id, metric, quantity, day FROM usage_events WHERE id = :id AND tenant_id = :tenant_id",
            id=corrects,
            tenant_id=tenant_id,
        )
        if event is None or event["quantity"] < 0:
            raise NotFound("usage_event_not_found")
        correction = NewEvent(
            event["user_id"], tenant_id, event["metric"], quantity, key=key, metadata=metadata, corrects=corrects
        )
        prepared = prepare(now, settings, [correction], day=event["day"])
        found, faults = _claim_keys(db, prepared)
        if faults:
            raise EventsRefused(list(faults.values())).of_one()
        if found:
            return Recorded(found[0], duplicate=True)
        if prepared.past and _list_invoiced(db, prepared, found):
            raise Conflict(INVOICED, field="corrects")
        left = event["quantity"] + _corrected(db, corrects)
        if left + quantity < 0:
            raise Conflict("correction_too_large", left=left)
        _insert(db, prepared.rows, prepared.days)
    return Recorded(prepared.rows[0]["id"], duplicate=False)


def _corrected(db: Connection, event_id: str) -> int:
    row = fetch_one(
        db, "SELECT COALESCE(SUM(quantity), 0) AS total FROM usage_events WHERE corrects = :id", id=event_id
    )
    return int(row["total"]) if row else 0

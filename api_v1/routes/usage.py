"""Usage: reporting what has been used, and reading what that makes a day."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import billing_db
from api_v1 import acting_for, schemas_usage as shapes
from api_v1.auth import Caller
from api_v1.cursors import read_cursor
from api_v1.idempotency import HEADER, find_key
from api_v1.lists import page
from api_v1.quota_headers import ALERT, alert_header
from api_v1.routing import route
from api_v1.runtime import current_request, current_runtime
from api_v1.wire import Choice
from billing_db import engine
from turf_saas import metering, usage_days
from turf_saas.checks import invalid
from turf_saas.errors import BillingError, Conflict, Fault, Forbidden, InvalidInput, NotFound, pointer
from turf_saas.metering import Report
from turf_saas.usage import API_CALLS, CONFLICT, INVOICED, EventFault, EventsRefused, NewEvent
from turf_saas.users import User
from turf_saas.values import UserId

Sent = shapes.UsageEventIn | shapes.UsageBatchIn | shapes.UsageCorrectionIn
MAX_BODY = 2 * 1024 * 1024  # a thousand events of 2 KiB: keys of 255 letters in any script, and metadata


@route(
    "POST",
    "/usage",
    summary="Report what has been used: one event, a batch of them, or a correction",
    scope="usage:write",
    body=Choice({"events": shapes.UsageBatchIn, "corrects": shapes.UsageCorrectionIn}, shapes.UsageEventIn),
    returns=shapes.UsageRecorded | shapes.UsageBatchRecorded,
    status=202,
    refuses=(409,),
    headers={ALERT: "`soft_limit_warning` or `hard_limit_reached`, of the worst metric of those named"},
    takes={HEADER: "The same as `idempotency_key`. Not with a batch, whose events have their own"},
    max_body=MAX_BODY,
)
def report_usage(caller: Caller, body: Sent) -> Any:
    """It has happened, so no quota refuses it. All of a batch is recorded, or nothing and every fault is named.

    The same key with the same content is a duplicate: the first event's id again. Another content: 409. Use of a month
    that is invoiced is a line of the next invoice, or 409 `period_invoiced` where BILLING_LATE_USAGE is `reject`.
    An admin, or a key of his with the scope, reports for any user of the tenant; others for themselves, a person only
    where BILLING_SELF_REPORT lets him. A correction is an admin's. The body has at most 2 MiB.
    """
    acting_for.require_reporter(caller)
    runtime = current_runtime()
    if isinstance(body, shapes.UsageCorrectionIn):
        return _corrected(caller, body), {}
    in_batch = isinstance(body, shapes.UsageBatchIn)
    sent = body.events if isinstance(body, shapes.UsageBatchIn) else [body]
    named = {event.user_id for event in sent if event.user_id is not None}
    alone = in_batch and engine(runtime.db()) == "sqlite"
    with _one_after_the_other() if alone else nullcontext(), acting_for.users_named(caller, named) as found:
        report = _record(caller, sent, found, in_batch=in_batch)
    if report.crossed:
        runtime.signal_crossings()
    if not in_batch:
        [recorded] = report.results
        return {"id": recorded.id, "duplicate": recorded.duplicate}, alert_header(report.worst_level)
    duplicates = sum(recorded.duplicate for recorded in report.results)
    shown = {
        "accepted": len(report.results) - duplicates,
        "duplicates": duplicates,
        "results": [
            {"index": index, "id": event_id, "duplicate": duplicate}
            for index, (event_id, duplicate) in enumerate(report.results)
        ],
    }
    return shown, alert_header(report.worst_level)


_turn = threading.Lock()


@contextmanager
def _one_after_the_other() -> Iterator[None]:
    """One batch at a time in this process: another would only take the interpreter from who holds the database."""
    if not _turn.acquire(timeout=billing_db.BUSY_SECONDS):
        raise billing_db.DatabaseBusy("The database is busy.")
    try:
        yield
    finally:
        _turn.release()


def _record(caller: Caller, sent: list[shapes.UsageEventIn], found: dict[UserId, User], *, in_batch: bool) -> Report:
    """What was sent is on record, or a refusal names all that is wrong with it."""
    runtime = current_runtime()
    db, now, settings = runtime.db(), runtime.now(), runtime.settings
    events, faults = _read_events(caller, sent, found, in_batch=in_batch)
    if not in_batch:
        key, key_faults = _key(sent[0].idempotency_key)
        events[0] = events[0]._replace(key=key)
        faults += key_faults
    elif HEADER in current_request().headers:
        faults.append(Fault(f"/{HEADER}", "header_not_for_batch", {"header": HEADER}))
    if faults:
        raise _refusal(faults + _placed(metering.list_faults(db, now, settings, events), in_batch=in_batch))
    if not in_batch:
        return metering.report_event(db, now, settings, events[0])
    try:
        return metering.report_events(db, now, settings, events)
    except EventsRefused as refused:
        raise _refusal(_placed(refused.of_events, in_batch=True)) from None


def _placed(faults: list[EventFault], *, in_batch: bool) -> list[Fault]:
    """Where each of them stands in the body."""
    return [Fault(_place(fault.index, fault.field, in_batch=in_batch), fault.code, {}) for fault in faults]


def _place(index: int, field: str, *, in_batch: bool) -> str:
    return pointer("events", index, field) if in_batch else pointer(field)


def _read_events(
    caller: Caller, sent: list[shapes.UsageEventIn], found: dict[UserId, User], *, in_batch: bool
) -> tuple[list[NewEvent], list[Fault]]:
    """What was sent, as events of users; for a user who is not there stands the caller himself, and a fault."""
    own = caller.user
    stand_in = NewEvent(own.id, own.tenant_id, API_CALLS, 1)
    events, faults = [], []
    unsold = {metric: acting_for.metric_fault(caller, metric) for metric in {event.metric for event in sent}}
    for index, event in enumerate(sent):
        user = own if event.user_id is None else found.get(event.user_id)
        if user is None:
            events.append(stand_in)
            faults.append(Fault(_place(index, "user_id", in_batch=in_batch), "user_not_found", {}))
        else:
            metadata = shapes.canonical(event.metadata)
            events.append(
                NewEvent(
                    user.id, user.tenant_id, event.metric, event.quantity, event.at, event.idempotency_key, metadata
                )
            )
        if fault := unsold[event.metric]:
            faults.append(replace(fault, loc=_place(index, "metric", in_batch=in_batch)))
    return events, faults


def _key(in_body: str | None) -> tuple[str | None, list[Fault]]:
    """The key of a single event, from the body or the header."""
    try:
        in_header = find_key()
    except InvalidInput as refused:
        return in_body, refused.faults
    if in_header is not None and in_body not in (None, in_header):
        return in_body, [Fault("/idempotency_key", "field_differs", {"other": HEADER})]
    return in_header or in_body, []


def _refusal(faults: list[Fault]) -> BillingError:
    """Users who are not there, and nothing else: 404; keys with another content: 409. Else it is a matter of values."""
    codes = {fault.code for fault in faults}
    if codes == {"user_not_found"}:
        return NotFound("user_not_found", faults=faults)
    for code in (CONFLICT, INVOICED):
        if codes == {code}:
            return Conflict(code, faults=faults)
    return invalid(sorted(faults, key=_index))


def _index(fault: Fault) -> int:
    number = fault.loc.split("/")[2:3]
    return int(number[0]) if number else -1


def _corrected(caller: Caller, body: shapes.UsageCorrectionIn) -> Any:
    if not caller.is_admin:
        raise Forbidden("forbidden")
    key, faults = _key(body.idempotency_key)
    if faults:
        raise invalid(faults)
    runtime = current_runtime()
    report = metering.correct(
        runtime.db(),
        runtime.now(),
        runtime.settings,
        caller.tenant_id,
        body.corrects,
        body.quantity,
        key=key,
        metadata=shapes.canonical(body.metadata),
    )
    return {"id": report.results[0].id, "duplicate": report.results[0].duplicate}


# -- the days ---------------------------------------------------------------------------------------


@route(
    "GET",
    "/usage",
    summary="What was used a day, per metric",
    scope="billing.read",
    query=shapes.UsageQuery,
    returns=shapes.UsageDays,
)
def list_usage(caller: Caller, query: shapes.UsageQuery) -> Any:
    """Newest first, days in BILLING_TIMEZONE; `from` and `to` are both included. Calls that were counted are in it."""
    user_id = acting_for.get_visible(caller, query.user_id)
    before = read_cursor(query.cursor, str, str) if query.cursor is not None else None
    found = usage_days.list_days(
        current_runtime().db(),
        user_id,
        metric=query.metric,
        first=query.first,
        last=query.last,
        limit=query.limit + 1,
        before=before,  # type: ignore[arg-type]
    )
    shown, more = page(found, query.limit, lambda day: (day.period_start, day.metric))
    items = [
        {"period_start": day.period_start, "granularity": "day", "metric": day.metric, "total": day.total}
        for day in shown
    ]
    return {"items": items, "next_cursor": more}

"""Invoices: what was issued, what the next one will say, and issuing what has closed."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

from api_v1 import acting_for, schemas_invoices as shapes
from api_v1.auth import Caller
from api_v1.cursors import read_cursor
from api_v1.errors import locale
from api_v1.lists import page
from api_v1.routing import route
from api_v1.runtime import current_runtime
from api_v1.telling import tell_issued
from turf_saas import invoices, issuing
from turf_saas.errors import NotFound
from turf_saas.invoice_preview import Foreseen, preview
from turf_saas.messages import say
from turf_saas.periods import start_of_day
from turf_saas.settings import Settings
from turf_saas.users import User
from turf_saas.values import Month, UserId, instant_text


@route(
    "GET",
    "/invoices",
    summary="The invoices and credit notes, newest first",
    scope="billing.read",
    query=shapes.InvoicesQuery,
    returns=shapes.Invoices,
)
def list_invoices(caller: Caller, query: shapes.InvoicesQuery) -> Any:
    """One's own; an admin's are all of the tenant, or one user's."""
    everybody = caller.is_admin and query.user_id is None
    return _page(caller, query, None if everybody else acting_for.get_visible(caller, query.user_id))


@route(
    "GET",
    "/invoices/<name:number>",
    summary="One invoice or credit note; or a user's, by his id",
    scope="billing.read",
    query=shapes.InvoicesOfUserQuery,
    returns=shapes.InvoiceOut | shapes.Invoices,
)
def get_invoice(caller: Caller, number: str, query: shapes.InvoicesOfUserQuery) -> Any:
    """By its number. Digits alone are a user's id: his are listed, as `GET /invoices?user_id=` lists them; if he is
    not there, they are the number of an invoice that was adopted.
    """
    if number.isascii() and number.isdigit():
        with suppress(NotFound):
            return _page(caller, query, acting_for.get_visible(caller, number))
    whose = None if caller.is_admin else caller.user_id
    return shapes.shown(invoices.get_invoice(current_runtime().db(), caller.tenant_id, number, user_id=whose))


def _page(caller: Caller, query: shapes.InvoicesOfUserQuery, user_id: UserId | None) -> shapes.Invoices:
    before = read_cursor(query.cursor, int)[0] if query.cursor is not None else None
    found = invoices.list_invoices(
        current_runtime().db(),
        caller.tenant_id,
        user_id=user_id,
        status=query.status,
        before=before,  # type: ignore[arg-type]
        limit=query.limit + 1,
    )
    items, more = page(found, query.limit, lambda invoice: (invoice.id,))
    return shapes.Invoices(items=[shapes.shown(invoice) for invoice in items], next_cursor=more)


@route(
    "GET",
    "/invoices/upcoming",
    summary="What this month's invoice would say now",
    scope="billing.read",
    query=shapes.UpcomingQuery,
    returns=shapes.Upcoming,
    refuses=(409,),
)
def upcoming_invoice(caller: Caller, query: shapes.UpcomingQuery) -> Any:
    """Worked out, and not stored: the fees of the periods that have begun in the month, its use until now, and what
    changes have left. VAT by the caller's profile. A country whose VAT is not known here: 409. `due_cents` is what
    would be left to pay after the account credit that there is now.
    """
    runtime = current_runtime()
    user = User(acting_for.get_visible(caller, query.user_id), caller.tenant_id, "user")
    found = preview(runtime.db(), runtime.now(), runtime.settings, user, locale(), runtime.tax_of)
    return _upcoming(runtime.settings, found)


@route(
    "POST",
    "/invoices/generate/<user_id>",
    summary="Issue a user's invoice of a month that is over",
    who="admin",
    scope="billing.write",
    body=shapes.GenerateIn,
    body_optional=True,
    returns=shapes.InvoiceOut,
    status=201,
    also={200: ("It was issued before; or there was nothing to bill", shapes.InvoiceOut | shapes.NothingToBill)},
    refuses=(409,),
)
def generate_invoice(caller: Caller, user_id: str, body: shapes.GenerateIn) -> Any:
    """However often it is asked for, there is one: no Idempotency-Key is needed. A month that is not over: 409
    `period_open`, with `closes_at`.
    """
    runtime = current_runtime()
    done = issuing.issue_month(
        runtime.db(),
        runtime.now(),
        runtime.settings,
        caller.tenant_id,
        acting_for.get_visible(caller, user_id),
        _month(body.period) or issuing.last_closed(runtime.now(), runtime.settings),
        tax_of=runtime.tax_of,
        told=partial(tell_issued, runtime),
    )
    if done.invoice is None:
        return shapes.NothingToBill(invoice=None), 200
    return shapes.shown(done.invoice), 200 if done.existed else 201


@route(
    "POST",
    "/invoices/run",
    summary="Issue every invoice whose month is over",
    who="admin",
    scope="billing.write",
    body=shapes.RunIn,
    body_optional=True,
    returns=shapes.InvoiceRun,
    refuses=(409,),
)
def run_invoices(caller: Caller, body: shapes.RunIn) -> Any:
    """May be run again, and twice at once: no Idempotency-Key is needed. One user's fault stops no other one."""
    runtime = current_runtime()
    done = issuing.run(
        runtime.db(),
        runtime.now(),
        runtime.settings,
        caller.tenant_id,
        _month(body.period),
        tax_of=runtime.tax_of,
        told=partial(tell_issued, runtime),
    )
    failed = [
        shapes.NotIssued(
            user_id=one.user_id,
            month=str(one.month),
            code=one.error.code,
            error=say(one.error.sentence, locale(), **one.error.params),
        )
        for one in done.failed
    ]
    return shapes.InvoiceRun(issued=done.issued, existing=done.existing, skipped=done.skipped, failed=failed)


def _month(given: str | None) -> Month | None:
    return Month.parse(given) if given is not None else None


def _upcoming(settings: Settings, found: Foreseen) -> shapes.Upcoming:
    draft, totals, document = found.composed.draft, found.composed.totals, found.composed.document
    return shapes.Upcoming(
        user_id=draft.user_id,
        period_start=instant_text(start_of_day(draft.month.first_day, settings.timezone)),
        period_end=instant_text(draft.month.ends_at(settings.timezone)),
        plan=draft.plan,
        currency=draft.currency,
        net_cents=totals.net_cents,
        tax_cents=totals.tax_cents,
        amount_cents=totals.amount_cents,
        account_credit_cents=found.account_credit_cents,
        due_cents=found.due_cents,
        usage=draft.usage,
        lines=shapes.shown_lines(document.lines if document is not None else ()),
        taxes=shapes.shown_taxes(document.taxes if document is not None else ()),
    )

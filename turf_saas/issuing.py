"""Issuing: a month that is over becomes each user's one invoice, or is recorded as having nothing to bill.

Whatever is killed, run twice or run at once: a user's month is closed once, by a row of billing_invoiced_months, in the
same transaction as its invoice, its number and its rows in the ledger.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from billing_db import Connection, DatabaseBusy, DatabaseUnavailable, UniqueConflict, execute_many
from turf_saas import account_credit, gateway_invoices, giving_back, invoice_register, invoices, rollover
from turf_saas.closing_months import (
    Closed,
    close_months,
    count_invoiced,
    is_closed,
    list_closed,
    list_open_months,
    list_users,
)
from turf_saas.errors import BillingError, Conflict
from turf_saas.invoice_drafts import Draft
from turf_saas.invoice_register import Issued
from turf_saas.invoices import Invoice
from turf_saas.issuing_documents import Asked, Composed, Composer, TaxOf, ask_for_taxes
from turf_saas.late_usage import note_billed
from turf_saas.rehearsal import rehearsal
from turf_saas.seller import SellerIncomplete, require_seller
from turf_saas.settings import Settings
from turf_saas.values import Month, UserId, instant_text

logger = logging.getLogger("turf_saas.billing")

AT_ONCE = 500  # users in one transaction: others who write wait for it
TRIES = 3
Progress = Callable[[int, int], None]  # how many users are done, of how many
Told = Callable[[Sequence[Issued | Invoice]], None]  # what was committed: invoices, and then credit notes


class Failed(NamedTuple):
    """Whose month could not be issued, and why."""

    user_id: UserId
    month: Month
    error: BillingError


@dataclass
class RunReport:
    """What a run did. existing: issued before, skipped: nothing to bill, and that is recorded."""

    issued: int = 0
    existing: int = 0
    skipped: int = 0
    failed: list[Failed] = field(default_factory=list)


class Generated(NamedTuple):
    """A user's invoice of a month; None where there is nothing to bill. existed: it was closed before."""

    invoice: Invoice | None
    existed: bool


def last_closed(now: datetime, settings: Settings) -> Month:
    """The month that ended last."""
    return Month.of(now, settings.timezone).before


def require_closed(now: datetime, settings: Settings, month: Month) -> None:
    """Nothing, or a Conflict that says when the month closes."""
    closes_at = month.ends_at(settings.timezone)
    if now < closes_at:
        raise Conflict("period_open", month=str(month), closes_at=instant_text(closes_at))


def _silent(_done: int, _of: int) -> None:
    """Nobody wants to know."""


def untold(_issued: Sequence[Issued | Invoice]) -> None:
    """Nobody is told."""


def issue_month(
    db: Connection,
    now: datetime,
    settings: Settings,
    tenant_id: int,
    user_id: UserId,
    month: Month,
    *,
    tax_of: TaxOf | None = None,
    told: Told = untold,
) -> Generated:
    """The user's invoice of a month that is over. A second call gives the same one."""
    require_closed(now, settings, month)
    if is_closed(db, user_id, month):
        return Generated(invoices.find_of_month(db, user_id, str(month)), existed=True)
    try:
        rollover.bring_up_to_date(db, now, settings, user_id)
    except DatabaseUnavailable:
        raise
    except Exception as error:  # as in a run
        raise _refusal(user_id, month, error) from None
    done = _issue_part(db, now, settings, tenant_id, [user_id], month, tax_of)
    if done.failed:
        raise done.failed[0].error
    told(done.documents)
    return Generated(invoices.find_of_month(db, user_id, str(month)), existed=bool(done.closed_before))


def run(
    db: Connection,
    now: datetime,
    settings: Settings,
    tenant_id: int,
    month: Month | None = None,
    *,
    tax_of: TaxOf | None = None,
    progress: Progress = _silent,
    told: Told = untold,
    only: UserId | None = None,
    dry_run: bool = False,
) -> RunReport:
    """Every month that is over and not closed, or this one. What one user lacks stops no other. only: this user's.

    A dry run takes each part back, and leaves subscriptions as they are: fees that are due to begin are not in it.
    """
    if month is not None:
        require_closed(now, settings, month)
    if not dry_run:
        for subscription_id, why in rollover.advance_due(db, now, settings).failed:
            logger.error("subscription %s does not go on: %s", subscription_id, why)  # its fee comes once it does
    months = [month] if month is not None else list_open_months(db, settings, tenant_id, last_closed(now, settings))
    # Counted first: whoever another run closes from here on is found closed, and counted then.
    report = RunReport(existing=sum(count_invoiced(db, tenant_id, each, only) for each in months))
    of_month = {
        each: [user_id for user_id in list_users(db, settings, tenant_id, each) if only in (None, user_id)]
        for each in months
    }
    total, done = sum(map(len, of_month.values())), 0
    for each, user_ids in of_month.items():
        for first in range(0, len(user_ids), AT_ONCE):
            part = _issue_part(db, now, settings, tenant_id, user_ids[first : first + AT_ONCE], each, tax_of, dry_run)
            _add(report, part, untold if dry_run else told)
            done += len(user_ids[first : first + AT_ONCE])
            progress(done, total)
    return report


@dataclass
class _Done:
    issued: list[Issued] = field(default_factory=list)
    credited: list[Invoice] = field(default_factory=list)
    skipped: int = 0
    closed_before: list[UserId] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)

    @property
    def documents(self) -> list[Issued | Invoice]:
        return [*self.issued, *self.credited]

    def add(self, other: _Done) -> None:
        self.issued += other.issued
        self.credited += other.credited
        self.skipped += other.skipped
        self.closed_before += other.closed_before
        self.failed += other.failed


def _add(report: RunReport, part: _Done, told: Told) -> None:
    report.issued += len(part.issued)
    report.skipped += part.skipped
    report.existing += len(part.closed_before)
    report.failed += part.failed
    if part.documents:
        told(part.documents)


def _issue_part(
    db: Connection,
    now: datetime,
    settings: Settings,
    tenant_id: int,
    user_ids: Sequence[UserId],
    month: Month,
    tax_of: TaxOf | None,
    dry_run: bool = False,
) -> _Done:
    """Some users' month in one transaction; where something is wrong with one, in halves until he stands alone."""
    try:
        return _try_part(db, now, settings, tenant_id, user_ids, month, tax_of, dry_run)
    except (DatabaseUnavailable, SellerIncomplete):
        raise
    except Exception as error:  # what another program wrote into his rows may be anything
        if len(user_ids) == 1:
            return _Done(failed=[Failed(user_ids[0], month, _refusal(user_ids[0], month, error))])
    done, half = _Done(), len(user_ids) // 2
    for some in (user_ids[:half], user_ids[half:]):
        done.add(_issue_part(db, now, settings, tenant_id, some, month, tax_of, dry_run))
    return done


def _refusal(user_id: UserId, month: Month, error: Exception) -> BillingError:
    if isinstance(error, BillingError):
        return error
    logger.error("%s of user %s cannot be billed", month, user_id, exc_info=error)
    return Conflict("invoice_refused", month=str(month), why=str(error))


def _try_part(
    db: Connection,
    now: datetime,
    settings: Settings,
    tenant_id: int,
    user_ids: Sequence[UserId],
    month: Month,
    tax_of: TaxOf | None,
    dry_run: bool,
) -> _Done:
    """Somebody else's lock is waited for a few times: a batch of late usage, say, that touches the same users."""
    for left in reversed(range(TRIES)):
        asked = _ask(db, now, settings, tenant_id, user_ids, month, tax_of) if tax_of else None
        try:
            with rehearsal(db, dry_run=dry_run):
                return _issue(db, now, settings, tenant_id, user_ids, month, asked)
        except (DatabaseBusy, UniqueConflict):
            if not left:
                raise
    raise AssertionError("the last try returns or raises")


def _ask(
    db: Connection,
    now: datetime,
    settings: Settings,
    tenant_id: int,
    user_ids: Sequence[UserId],
    month: Month,
    tax_of: TaxOf,
) -> Mapping[UserId, Asked | BillingError]:
    """Of whom somebody else has closed meanwhile nothing is asked."""
    closed = list_closed(db, user_ids, month)
    still_open = [user_id for user_id in user_ids if user_id not in closed]
    return ask_for_taxes(db, now, settings, tenant_id, still_open, month, tax_of)


def _issue(
    db: Connection,
    now: datetime,
    settings: Settings,
    tenant_id: int,
    user_ids: Sequence[UserId],
    month: Month,
    asked: Mapping[UserId, Asked | BillingError] | None,
) -> _Done:
    """In the caller's transaction: who is not closed yet gets his invoice, or has nothing to bill."""
    invoice_register.hold_register(db, tenant_id)
    now = invoice_register.earliest_issue(db, now, tenant_id)
    closed = list_closed(db, user_ids, month)
    done = _Done(closed_before=[user_id for user_id in user_ids if user_id in closed])
    composed = _compose(db, now, settings, tenant_id, [each for each in user_ids if each not in closed], month, asked)
    found = {}
    for user_id, each in composed.items():
        if isinstance(each, BillingError):
            done.failed.append(Failed(user_id, month, each))
        else:
            found[user_id] = each
    documents = [each.document for each in found.values() if each.document is not None]
    if documents:
        require_seller(settings)
    done.issued = invoice_register.issue(db, now, settings, tenant_id, documents)
    done.skipped = len(found) - len(documents)
    ids = {issued.document.user_id: issued.id for issued in done.issued}
    closing = [Closed(user_id, ids.get(user_id), dict(each.draft.used)) for user_id, each in found.items()]
    close_months(db, now, settings, tenant_id, month, closing)
    _mark(db, [(each.draft, ids[user_id]) for user_id, each in found.items() if user_id in ids])
    paid = account_credit.apply(db, now, tenant_id, done.issued)
    gateway_invoices.enqueue_issued(db, now, settings, tenant_id, done.issued, paid)
    late = [one for each in found.values() for one in each.late]
    note_billed(db, late)
    done.credited = [
        *giving_back.give_back_late(db, now, settings, [one for one in late if one.amount_cents < 0]),
        *giving_back.give_back_items(db, now, settings, [one for each in found.values() for one in each.draft.credits]),
    ]
    return done


def _compose(
    db: Connection,
    now: datetime,
    settings: Settings,
    tenant_id: int,
    user_ids: Sequence[UserId],
    month: Month,
    asked: Mapping[UserId, Asked | BillingError] | None,
) -> dict[UserId, Composed | BillingError]:
    if not user_ids:
        return {}
    composer = Composer(db, now, settings, tenant_id, user_ids, month)
    found: dict[UserId, Composed | BillingError] = {}
    for user_id in user_ids:
        said = asked[user_id] if asked is not None else None
        try:
            found[user_id] = said if isinstance(said, BillingError) else composer.compose(user_id, said)
        except BillingError as error:
            found[user_id] = error
    return found


def _mark(db: Connection, invoiced: Sequence[tuple[Draft, int]]) -> None:
    """Fees and items are on their invoice, and on no other one."""
    for table, rows in (
        ("billing_periods", [(one, invoice_id) for draft, invoice_id in invoiced for one in draft.period_ids]),
        ("billing_pending_items", [(one, invoice_id) for draft, invoice_id in invoiced for one in draft.item_ids]),
    ):
        marked = execute_many(
            db,
            f"UPDATE {table} SET invoice_id = :invoice_id WHERE id = :id AND invoice_id IS NULL",  # noqa: S608
            [{"id": one, "invoice_id": invoice_id} for one, invoice_id in rows],
        )
        if marked != len(rows):
            raise DatabaseBusy("Something of the month was invoiced meanwhile.")

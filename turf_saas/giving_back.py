"""What an issued invoice has charged too much is given back on it, by credit notes that nobody has to ask for."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from datetime import datetime

from billing_db import Connection, atomic, execute, fetch_all
from turf_saas import credit_notes, invoices
from turf_saas.change_parts import find_part
from turf_saas.credit_notes import Wanted
from turf_saas.invoice_drafts import PendingCredit
from turf_saas.invoices import Invoice
from turf_saas.late_usage import LateUse
from turf_saas.settings import Settings
from turf_saas.values import UserId

logger = logging.getLogger("turf_saas.billing")

LATE = "late_usage"
CHANGE = "subscription_change"


def give_back_items(
    db: Connection, now: datetime, settings: Settings, pending: Iterable[PendingCredit], *, by: str | None = None
) -> list[Invoice]:
    """Credits of fees and charges that were invoiced before them. The caller's transaction holds the register."""
    notes = []
    with atomic(db):
        for credit in pending:
            invoice = invoices.get_by_id(db, credit.invoice_id)
            position = position_of(invoice, credit.credits_item_id, credit.billing_period_id)
            wanted = [Wanted(position, credit.amount_cents)] if position is not None else []
            part = find_part(db, credit.item_id, credit.price_cents)
            origin = {"change": part} if part else None
            note = credit_notes.give_back(db, now, settings, invoice.id, wanted, reason=CHANGE, by=by, origin=origin)
            _warn(invoice.user_id, credit.amount_cents - (_taken(note) if note else 0), f"item {credit.item_id}")
            execute(
                db,
                "UPDATE billing_pending_items SET invoice_id = :invoice_id WHERE id = :id AND invoice_id IS NULL",
                invoice_id=note.id if note else invoice.id,
                id=credit.item_id,
            )
            notes += [note] if note else []
    return notes


def position_of(invoice: Invoice, item_id: int | None, period_id: int | None) -> int | None:
    """Where the invoice has a charge, or, without one, the fee of a period."""
    name, wanted = ("item_id", item_id) if item_id is not None else ("period_id", period_id)
    for position, line in enumerate(invoice.lines, start=1):
        if line.kind in ("base", "charge") and json.loads(line.origin).get(name) == wanted:
            return position
    return None


def give_back_late(db: Connection, now: datetime, settings: Settings, late: Sequence[LateUse]) -> list[Invoice]:
    """Use that became less: on the invoices that billed it, the newest first."""
    notes = []
    with atomic(db):
        for one in late:
            rest, origin = -one.amount_cents, {"late": json.loads(one.origin)}
            for invoice_id, position, charged in _list_billed(db, one):
                part = min(rest, charged)
                wanted = [Wanted(position, part)]
                note = credit_notes.give_back(db, now, settings, invoice_id, wanted, reason=LATE, origin=origin)
                if note is not None:
                    notes.append(note)
                    rest -= _taken(note)
                if rest <= 0:
                    break
            _warn(one.user_id, rest, f"{one.metric} of {one.month}")
    return notes


def _warn(user_id: UserId, left_cents: int, of: str) -> None:
    """As when an admin has credited all of the invoice before: nobody is owed it, and somebody should know."""
    if left_cents > 0:
        logger.warning(
            "user %s: %s cents of the credit of %s had no invoice left to be given back on", user_id, left_cents, of
        )


def _taken(note: Invoice) -> int:
    """How much of the line was given back, in the line's own terms."""
    return -sum(line.amount_cents for line in note.lines)


def _list_billed(db: Connection, late: LateUse) -> list[tuple[int, int, int]]:
    """The lines that billed the month's use of the metric: invoice, position and amount, the newest first.

    Those with the same VAT inside or outside of the price come before the others.
    """
    rows = fetch_all(
        db,
        """SELECT l.invoice_id, l.position, l.amount_cents, l.kind, l.tax_behavior, l.origin
             FROM invoices AS i JOIN billing_invoice_lines AS l ON l.invoice_id = i.id
            WHERE i.user_id = :user_id AND i.kind = 'period' AND l.metric = :metric AND l.amount_cents > 0
              AND ((l.kind = 'overage' AND i.month = :month) OR l.kind = 'late')
            ORDER BY l.invoice_id DESC, l.position DESC""",
        user_id=late.user_id,
        metric=late.metric,
        month=str(late.month),
    )
    # By its origin: when its month began is another instant once BILLING_TIMEZONE is another one.
    rows = [row for row in rows if row["kind"] != "late" or json.loads(row["origin"]).get("month") == str(late.month)]
    rows.sort(key=lambda row: row["tax_behavior"] != late.tax_behavior)
    return [(row["invoice_id"], row["position"], row["amount_cents"]) for row in rows]

"""The ledger as it is read: what was sold and taken back, VAT included, and what went out again."""

from __future__ import annotations

from dataclasses import dataclass

from billing_db import Connection, fetch_all
from turf_saas.periods import start_of_day
from turf_saas.settings import Settings
from turf_saas.values import Month, UserId, instant_text


@dataclass(frozen=True)
class Entry:
    """A row of the ledger. What was taken back is negative; a refund is money that went out."""

    id: int
    user_id: UserId
    invoice_id: int | None
    invoice_number: str | None
    type: str
    amount_cents: int
    currency: str
    description: str | None
    created_at: str


def list_transactions(
    db: Connection,
    settings: Settings,
    tenant_id: int,
    *,
    user_id: UserId | None = None,
    month: Month | None = None,
    before: int | None = None,
    limit: int = 51,
) -> list[Entry]:
    """A page of a tenant's, or of a user's, the newest first; of one month of BILLING_TIMEZONE. before: below this."""
    given: dict[str, UserId] = {"tenant_id": tenant_id, "limit": limit}
    conditions = ""
    if user_id is not None:
        conditions += " AND t.user_id = :user_id"
        given["user_id"] = user_id
    if before is not None:
        conditions += " AND t.id < :before"
        given["before"] = before
    if month is not None:
        conditions += " AND t.created_at >= :start AND t.created_at < :end"
        given["start"] = instant_text(start_of_day(month.first_day, settings.timezone))
        given["end"] = instant_text(month.ends_at(settings.timezone))
    rows = fetch_all(
        db,
        f"""SELECT t.*, i.invoice_number
              FROM transactions AS t LEFT JOIN invoices AS i ON i.id = t.invoice_id
             WHERE t.tenant_id = :tenant_id{conditions} ORDER BY t.id DESC LIMIT :limit""",  # noqa: S608
        **given,
    )
    return [Entry(**{name: row[name] for name in Entry.__dataclass_fields__}) for row in rows]

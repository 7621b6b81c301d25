"""Invoices as a gateway collects them: a row for each that is issued while there is one, and the job that brings it.

The row says where the gateway is; what it should be follows from the invoice. So a job may come late, twice, or both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from billing_db import Connection, Row, atomic, engine, execute, execute_many, fetch_all, fetch_one
from turf_saas import jobs
from turf_saas.invoice_register import Issued
from turf_saas.settings import Settings
from turf_saas.values import UserId, instant_text

COLLECT_JOB, SETTLE_JOB, PAY_JOB = "billing.collect_invoice", "billing.settle_collected", "billing.pay_collected"
PAY_OPEN_JOB, CATCH_UP_JOB = "billing.pay_open_invoices", "billing.collect"
MAX_ERROR = 500
OUT_OF_BAND = "out-of-band"  # the step by which a gateway is told that it was paid in another way
Status = Literal[
    "waiting", "skipped", "carried", "draft", "open", "paid", "void", "uncollectible", "mismatch", "parked"
]


@dataclass(frozen=True)
class GatewayInvoice:
    """Where an invoice is at its gateway. amount_cents: what is collected of it."""

    invoice_id: int
    tenant_id: int
    user_id: UserId
    gateway: str
    provider_id: str | None
    status: Status
    amount_cents: int
    carried_into: int | None
    hosted_url: str | None
    attempt_count: int
    next_attempt_at: str | None
    first_failed_at: str | None
    last_error: str | None


_COLUMNS = ", ".join(GatewayInvoice.__dataclass_fields__)


def enqueue_issued(
    db: Connection,
    now: datetime,
    settings: Settings,
    tenant_id: int,
    issued: Sequence[Issued],
    paid: Mapping[int, int],
) -> None:
    """What was just issued is to be collected, as far as account credit (paid, by the invoice's id) has not paid it."""
    if not settings.collects or not issued:
        return
    rows = [
        {
            "invoice_id": each.id,
            "tenant_id": tenant_id,
            "user_id": each.document.user_id,
            "gateway": settings.gateway,
            "status": "waiting" if each.document.amount_cents > paid.get(each.id, 0) else "skipped",
            "amount_cents": each.document.amount_cents - paid.get(each.id, 0),
            "now": instant_text(now),
        }
        for each in issued
        if each.document.kind in ("period", "manual")
    ]
    with atomic(db):
        execute_many(
            db,
            """INSERT INTO billing_gateway_invoices (invoice_id, tenant_id, user_id, gateway, status, amount_cents,
                                                     created_at, updated_at)
               VALUES (:invoice_id, :tenant_id, :user_id, :gateway, :status, :amount_cents, :now, :now)""",
            rows,
            at_once=20,
        )
        waiting = {
            str(row["invoice_id"]): {"invoice_id": row["invoice_id"]} for row in rows if row["status"] == "waiting"
        }
        jobs.enqueue_many(db, now, COLLECT_JOB, waiting, tenant_id=tenant_id, max_attempts=jobs.PATIENT)


def note_change(db: Connection, now: datetime, tenant_id: int, invoice_id: int) -> None:
    """Less is due of it now than its gateway may think: it is told, where it knows the invoice already."""
    row = fetch_one(
        db,
        """SELECT invoice_id FROM billing_gateway_invoices
            WHERE invoice_id = :id AND status IN ('draft', 'carried', 'open', 'uncollectible', 'parked')""",
        id=invoice_id,
    )
    if row is not None:
        enqueue_settling(db, now, tenant_id, invoice_id)


def enqueue_settling(db: Connection, now: datetime, tenant_id: int, invoice_id: int) -> None:
    jobs.enqueue(db, now, SETTLE_JOB, {"invoice_id": invoice_id}, tenant_id=tenant_id, max_attempts=jobs.PATIENT)


def enqueue_payment(db: Connection, now: datetime, tenant_id: int, invoice_id: int, attempt: str) -> None:
    """The invoice is tried once more, once for each of these words."""
    jobs.enqueue(
        db,
        now,
        PAY_JOB,
        {"invoice_id": invoice_id, "attempt": attempt},
        tenant_id=tenant_id,
        dedupe_key=f"{invoice_id}:{attempt}",
        max_attempts=jobs.PATIENT,
    )


def find(db: Connection, invoice_id: int) -> GatewayInvoice | None:
    row = fetch_one(
        db,
        f"SELECT {_COLUMNS} FROM billing_gateway_invoices WHERE invoice_id = :id",  # noqa: S608  names of ours
        id=invoice_id,
    )
    return _of(row) if row is not None else None


def list_carried(db: Connection, invoice_id: int) -> list[GatewayInvoice]:
    """Those that are collected with this one."""
    rows = fetch_all(
        db,
        f"""SELECT {_COLUMNS} FROM billing_gateway_invoices
             WHERE carried_into = :id ORDER BY invoice_id""",  # noqa: S608
        id=invoice_id,
    )
    return list(map(_of, rows))


def list_owed_there(db: Connection, user_id: UserId) -> list[GatewayInvoice]:
    """The user's that the gateway itself has carried, as what its customer owes."""
    rows = fetch_all(
        db,
        f"""SELECT {_COLUMNS} FROM billing_gateway_invoices
             WHERE user_id = :user_id AND status = 'carried' AND carried_into IS NULL AND provider_id IS NOT NULL
             ORDER BY invoice_id""",  # noqa: S608
        user_id=user_id,
    )
    return list(map(_of, rows))


def list_open(db: Connection, user_id: UserId) -> list[GatewayInvoice]:
    """The user's that a gateway waits to be paid for, the oldest first."""
    rows = fetch_all(
        db,
        f"""SELECT {_COLUMNS} FROM billing_gateway_invoices
             WHERE user_id = :user_id AND status = 'open' ORDER BY invoice_id""",  # noqa: S608
        user_id=user_id,
    )
    return list(map(_of, rows))


def has_failed(db: Connection, user_id: UserId, by: datetime) -> bool:
    """Whether a charge of one that is open had failed by then: what he pays with since may be better."""
    until = instant_text(by)
    return any(each.first_failed_at is not None and each.first_failed_at <= until for each in list_open(db, user_id))


def hold_waiting(db: Connection, user_id: UserId) -> list[GatewayInvoice]:
    """The user's that are not at their gateway yet; nobody else sends them until the caller's transaction ends."""
    waits = " FOR UPDATE" if engine(db) == "postgresql" else ""
    rows = fetch_all(
        db,
        f"""SELECT {_COLUMNS} FROM billing_gateway_invoices
             WHERE user_id = :user_id AND status IN ('waiting', 'carried', 'draft', 'parked')
             ORDER BY invoice_id{waits}""",  # noqa: S608
        user_id=user_id,
    )
    return list(map(_of, rows))


def claim(db: Connection, now: datetime, invoice_id: int, job_id: int) -> bool:
    """Whether this job may bring the gateway to where it should be: one at a time does, until it is done or killed."""
    with atomic(db):
        return bool(
            execute(
                db,
                """UPDATE billing_gateway_invoices SET held_by = :job_id
                    WHERE invoice_id = :id
                      AND (held_by IS NULL OR held_by = :job_id
                           OR NOT EXISTS (SELECT 1 FROM billing_jobs AS j
                                           WHERE j.id = billing_gateway_invoices.held_by AND j.state = 'executing'
                                             AND j.lease_until > :now))""",
                job_id=job_id,
                id=invoice_id,
                now=instant_text(now),
            )
        )


def move(
    db: Connection,
    now: datetime,
    invoice_id: int,
    status: Status,
    *,
    seen: Sequence[Status],
    error: str | None = None,
    **values: str | int | None,
) -> bool:
    """It stands elsewhere now, with these values; only where it stood at one of those that were seen."""
    with atomic(db):
        return bool(
            execute(
                db,
                f"""UPDATE billing_gateway_invoices
                       SET status = :status, last_error = :error, updated_at = :now
                           {"".join(f", {name} = COALESCE(:{name}, {name})" for name in values)}
                     WHERE invoice_id = :id AND status IN ({", ".join(f"'{each}'" for each in seen)})""",  # noqa: S608
                status=status,
                error=error,
                now=instant_text(now),
                id=invoice_id,
                **values,
            )
        )


def set_status(db: Connection, now: datetime, invoice_id: int, status: Status, error: str | None = None) -> None:
    """It stands there by what was told of it, wherever it stood. The caller's transaction holds the invoice."""
    execute(
        db,
        """UPDATE billing_gateway_invoices SET status = :status, last_error = :error, updated_at = :now
            WHERE invoice_id = :id""",
        status=status,
        error=error[:MAX_ERROR] if error else None,
        now=instant_text(now),
        id=invoice_id,
    )


def release_carried(db: Connection, now: datetime, invoice_id: int) -> None:
    """What was too small, and was to be collected with it, waits for another one."""
    execute(
        db,
        """UPDATE billing_gateway_invoices SET status = 'waiting', carried_into = NULL, updated_at = :now
            WHERE carried_into = :id AND status = 'carried'""",
        id=invoice_id,
        now=instant_text(now),
    )


def note_error(db: Connection, now: datetime, invoice_id: int, error: str) -> None:
    """Why it is not where it should be: what is tried again later."""
    with atomic(db):
        execute(
            db,
            "UPDATE billing_gateway_invoices SET last_error = :error, updated_at = :now WHERE invoice_id = :id",
            error=error,
            now=instant_text(now),
            id=invoice_id,
        )


def revive(db: Connection, now: datetime) -> int:
    """What has not been sent though its job has given up, and nobody has to look at, is tried again; how many."""
    rows = fetch_all(
        db,
        """SELECT j.id FROM billing_gateway_invoices AS g
             JOIN billing_jobs AS j ON j.name = :name AND j.dedupe_key = CAST(g.invoice_id AS TEXT)
            WHERE g.status IN ('waiting', 'draft') AND j.state = 'dead' ORDER BY j.id""",
        name=COLLECT_JOB,
    )
    for row in rows:
        jobs.retry(db, now, row["id"])
    return len(rows)


def _of(row: Row) -> GatewayInvoice:
    return GatewayInvoice(**{name: row[name] for name in GatewayInvoice.__dataclass_fields__})

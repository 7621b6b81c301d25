"""What was paid, credited and given back agrees with the documents, and what is owed with what is due."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, groupby
from operator import itemgetter

from billing_db import Connection, Row, fetch_each
from turf_saas.findings import Finding
from turf_saas.register_proof import of_tenant


def prove_money(db: Connection, tenant_id: int | None) -> Iterator[Finding]:
    """Of each invoice, of each payment, of each account, and of each user."""
    return chain(
        _prove_balances(db, tenant_id),
        _prove_statuses(db, tenant_id),
        _prove_credit_notes(db, tenant_id),
        _prove_refunds(db, tenant_id),
        _prove_accounts(db, tenant_id),
        _prove_owed(db, tenant_id),
    )


def _prove_balances(db: Connection, tenant_id: int | None) -> Iterator[Finding]:
    """Paid is what its payments brought less what of it is elsewhere; credited is what its credit notes took back."""
    whose, given = of_tenant("i.tenant_id", tenant_id)
    for row in fetch_each(
        db,
        f"""SELECT i.tenant_id, i.invoice_number, i.amount_cents, COALESCE(b.amount_cents, i.amount_cents) AS kept,
                   COALESCE(b.paid_cents, 0) AS paid, COALESCE(b.credited_cents, 0) AS credited,
                   COALESCE(p.cents, 0) - COALESCE(e.cents, 0) AS right_paid, COALESCE(c.cents, 0) AS right_credited
              FROM invoices AS i
              LEFT JOIN billing_invoice_balances AS b ON b.invoice_id = i.id
              LEFT JOIN (SELECT invoice_id, SUM(amount_cents) AS cents FROM billing_payments
                          WHERE invoice_id IS NOT NULL GROUP BY invoice_id) AS p ON p.invoice_id = i.id
              LEFT JOIN (SELECT invoice_id, SUM(amount_cents) AS cents FROM billing_account_credit_entries
                          WHERE invoice_id IS NOT NULL GROUP BY invoice_id) AS e ON e.invoice_id = i.id
              LEFT JOIN (SELECT credited_invoice_id, -SUM(amount_cents) AS cents FROM invoices
                          WHERE credited_invoice_id IS NOT NULL AND hash IS NOT NULL
                          GROUP BY credited_invoice_id) AS c ON c.credited_invoice_id = i.id
             WHERE {whose}
               AND (b.amount_cents <> i.amount_cents
                 OR COALESCE(b.paid_cents, 0) <> COALESCE(p.cents, 0) - COALESCE(e.cents, 0)
                 OR COALESCE(b.credited_cents, 0) <> COALESCE(c.cents, 0))""",  # noqa: S608
        **given,
    ):
        for what, stored, right in (
            ("amount", row["kept"], row["amount_cents"]),
            ("paid", row["paid"], row["right_paid"]),
            ("credited", row["credited"], row["right_credited"]),
        ):
            if stored != right:
                said = f"{row['invoice_number']}: its balance says {stored} cents {what}, and it is {int(right)}"
                yield Finding("balance", said, row["invoice_number"], row["tenant_id"])


def _prove_statuses(db: Connection, tenant_id: int | None) -> Iterator[Finding]:
    """Open is what is not settled to the last cent."""
    whose, given = of_tenant("i.tenant_id", tenant_id)
    for row in fetch_each(
        db,
        f"""SELECT * FROM (
                SELECT i.tenant_id, i.invoice_number, i.status,
                       i.amount_cents - COALESCE(b.paid_cents, 0) - COALESCE(b.credited_cents, 0) AS open_cents
                  FROM invoices AS i LEFT JOIN billing_invoice_balances AS b ON b.invoice_id = i.id
                 WHERE i.hash IS NOT NULL AND i.kind <> 'credit_note' AND {whose}) AS stands
             WHERE (status IN ('pending', 'overdue')) <> (open_cents <> 0)""",  # noqa: S608
        **given,
    ):
        said = f"{row['invoice_number']}: it is {row['status']}, and {row['open_cents']} cents of it are open"
        yield Finding("balance", said, row["invoice_number"], row["tenant_id"])


def _prove_credit_notes(db: Connection, tenant_id: int | None) -> Iterator[Finding]:
    """Of no rate more is taken back than the invoice had; of one that is credited whole, all of each."""
    whose, given = of_tenant("d.tenant_id", tenant_id)
    rows = fetch_each(
        db,
        f"""SELECT COALESCE(d.credited_invoice_id, d.id) AS id, d.tenant_id, t.vat_category, t.vat_rate,
                   MAX(CASE WHEN d.credited_invoice_id IS NULL THEN d.invoice_number END) AS invoice_number,
                   SUM(CASE WHEN d.credited_invoice_id IS NULL THEN t.base_cents ELSE 0 END) AS base,
                   SUM(CASE WHEN d.credited_invoice_id IS NULL THEN t.tax_cents ELSE 0 END) AS tax,
                   SUM(t.base_cents) AS base_left, SUM(t.tax_cents) AS tax_left
              FROM invoices AS d JOIN billing_invoice_taxes AS t ON t.invoice_id = d.id
             WHERE {whose} AND (d.credited_invoice_id IS NOT NULL
                OR d.id IN (SELECT credited_invoice_id FROM invoices WHERE credited_invoice_id IS NOT NULL))
             GROUP BY COALESCE(d.credited_invoice_id, d.id), d.tenant_id, t.vat_category, t.vat_rate
             ORDER BY COALESCE(d.credited_invoice_id, d.id)""",  # noqa: S608
        **given,
    )
    for _, of_invoice in groupby(rows, key=itemgetter("id")):
        rates = list(of_invoice)
        is_whole = not sum(row["base_left"] + row["tax_left"] for row in rates)
        for row in rates:
            if (
                _is_too_much(row["base"], row["base_left"])
                or _is_too_much(row["tax"], row["tax_left"])
                or (is_whole and (row["base_left"] or row["tax_left"]))
            ):
                yield _too_much(row)


def _is_too_much(had: int, left: int) -> bool:
    return left < 0 < had or had < 0 < left or (had == 0 and left != 0)


def _too_much(row: Row) -> Finding:
    rate = f"{row['vat_category']} {row['vat_rate']} %"
    said = (
        f"of {row['base']} and {row['tax']} at {rate} its credit notes leave {row['base_left']} and {row['tax_left']}"
    )
    return Finding("credit", f"{row['invoice_number']}: {said}", row["invoice_number"], row["tenant_id"])


def _prove_refunds(db: Connection, tenant_id: int | None) -> Iterator[Finding]:
    """What has gone out of a payment was taken from the account credit, and stands in the ledger."""
    whose, given = of_tenant("p.tenant_id", tenant_id)
    for row in fetch_each(
        db,
        f"""SELECT p.id, p.tenant_id, p.refunded_cents, COALESCE(e.cents, 0) AS taken
              FROM billing_payments AS p
              LEFT JOIN (SELECT payment_id, -SUM(amount_cents) AS cents FROM billing_account_credit_entries
                          WHERE kind = 'refund' GROUP BY payment_id) AS e ON e.payment_id = p.id
             WHERE {whose} AND p.refunded_cents <> COALESCE(e.cents, 0)""",  # noqa: S608
        **given,
    ):
        said = f"payment {row['id']}: {row['refunded_cents']} cents went out, and {int(row['taken'])} were taken for it"
        yield Finding("payment", said, None, row["tenant_id"])
    yield from _prove_sent(db, tenant_id)
    whose, given = of_tenant("i.tenant_id", tenant_id)
    for row in fetch_each(
        db,
        f"""SELECT i.tenant_id, i.invoice_number, COALESCE(p.cents, 0) AS refunded, COALESCE(t.cents, 0) AS told
              FROM invoices AS i
              LEFT JOIN (SELECT invoice_id, SUM(refunded_cents) AS cents FROM billing_payments
                          GROUP BY invoice_id) AS p ON p.invoice_id = i.id
              LEFT JOIN (SELECT invoice_id, SUM(amount_cents) AS cents FROM transactions
                          WHERE type = 'refund' GROUP BY invoice_id) AS t ON t.invoice_id = i.id
             WHERE i.hash IS NOT NULL AND {whose} AND COALESCE(p.cents, 0) <> COALESCE(t.cents, 0)""",  # noqa: S608
        **given,
    ):
        told, refunded = int(row["told"]), int(row["refunded"])
        said = f"{row['invoice_number']}: the ledger says {told} cents went out again, and its payments {refunded}"
        yield Finding("payment", said, row["invoice_number"], row["tenant_id"])


def _prove_sent(db: Connection, tenant_id: int | None) -> Iterator[Finding]:
    """What has gone out of a payment that a gateway took is what is booked of its refunds."""
    whose, given = of_tenant("p.tenant_id", tenant_id)
    for row in fetch_each(
        db,
        f"""SELECT p.id, p.tenant_id, p.refunded_cents, COALESCE(r.cents, 0) AS booked
              FROM billing_payments AS p
              LEFT JOIN (SELECT payment_id, SUM(booked_cents) AS cents FROM billing_refunds
                          GROUP BY payment_id) AS r ON r.payment_id = p.id
             WHERE p.gateway IS NOT NULL AND {whose} AND p.refunded_cents <> COALESCE(r.cents, 0)""",  # noqa: S608
        **given,
    ):
        said = f"payment {row['id']}: {row['refunded_cents']} cents went out, and its refunds say {int(row['booked'])}"
        yield Finding("payment", said, None, row["tenant_id"])


def _prove_accounts(db: Connection, tenant_id: int | None) -> Iterator[Finding]:
    """Each account credit is the sum of its entries."""
    whose, given = of_tenant("tenant_id", tenant_id)
    for row in fetch_each(
        db,
        f"""SELECT user_id, currency, MIN(tenant_id) AS tenant_id, SUM(balance) AS balance, SUM(entered) AS entered
              FROM (SELECT user_id, currency, tenant_id, balance_cents AS balance, 0 AS entered
                      FROM billing_account_credits WHERE {whose}
                    UNION ALL
                    SELECT user_id, currency, tenant_id, 0, amount_cents FROM billing_account_credit_entries
                     WHERE {whose}) AS both_sides
             GROUP BY user_id, currency HAVING SUM(balance) <> SUM(entered)""",  # noqa: S608
        **given,
    ):
        there = f"{int(row['balance'])} cents of account credit in {row['currency']}"
        said = f"user {row['user_id']} has {there}, and its entries sum to {int(row['entered'])}"
        yield Finding("credit", said, None, row["tenant_id"])


def _prove_owed(db: Connection, tenant_id: int | None) -> Iterator[Finding]:
    """What the ledger says is owed is what is open less the account credit. Adopted invoices have no ledger of ours."""
    whose, given = of_tenant("i.tenant_id", tenant_id)
    mine, _ = of_tenant("tenant_id", tenant_id)
    balances = "invoices AS i LEFT JOIN billing_invoice_balances AS b ON b.invoice_id = i.id"
    for row in fetch_each(
        db,
        f"""SELECT user_id, currency, MIN(tenant_id) AS tenant_id, SUM(owed) AS owed, SUM(stands) AS stands
              FROM (SELECT i.user_id, t.currency, i.tenant_id, t.amount_cents AS owed, 0 AS stands
                      FROM transactions AS t JOIN invoices AS i ON i.id = t.invoice_id
                     WHERE t.type <> 'refund' AND i.hash IS NOT NULL AND {whose}
                    UNION ALL
                    SELECT user_id, currency, tenant_id, refunded_cents - amount_cents, 0 FROM billing_payments
                     WHERE {mine}
                    UNION ALL
                    SELECT i.user_id, i.currency, i.tenant_id, b.paid_cents, 0 FROM {balances}
                     WHERE i.hash IS NULL AND b.paid_cents > 0 AND {whose}
                    UNION ALL
                    SELECT i.user_id, i.currency, i.tenant_id, 0,
                           i.amount_cents - COALESCE(b.paid_cents, 0) - COALESCE(b.credited_cents, 0)
                      FROM {balances}
                     WHERE i.hash IS NOT NULL AND i.kind <> 'credit_note' AND {whose}
                    UNION ALL
                    SELECT user_id, currency, tenant_id, 0, -balance_cents FROM billing_account_credits
                     WHERE {mine}) AS sides
             GROUP BY user_id, currency HAVING SUM(owed) <> SUM(stands)""",  # noqa: S608
        **given,
    ):
        said = f"user {row['user_id']} owes {int(row['owed'])} cents by the ledger, and {int(row['stands'])} are open"
        yield Finding("owed", f"{said} ({row['currency']})", None, row["tenant_id"])

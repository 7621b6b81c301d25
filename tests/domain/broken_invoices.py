"""Ways to break what was issued, what `verify` has to see of each, and the sentence that names it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from billing_db import Connection, execute, fetch_all, fetch_one
from turf_saas.invoice_documents import hash_of

Break = str | Callable[[Connection], None]


def rehash(db: Connection) -> None:
    """Whoever changes a document and knows how hashes are made."""
    row = fetch_one(db, "SELECT * FROM invoices WHERE id = 1")
    assert row is not None
    parts: list[list[list[Any]]] = []
    for table in ("lines", "taxes"):
        rows = fetch_all(db, f"SELECT * FROM billing_invoice_{table} WHERE invoice_id = 1 ORDER BY position")
        names = [name for name in rows[0].keys() if name not in ("invoice_id", "position", "tenant_id")]  # noqa: SIM118
        parts.append([[each[name] for name in names] for each in rows])
    execute(db, "UPDATE invoices SET hash = :hash WHERE id = 1", hash=hash_of(row["previous_hash"], row, *parts))


A = "FACT-202605-0001"  # Alice's April: 47.75 + 9.55
INVOICES = "UPDATE invoices SET"
LINES = "UPDATE billing_invoice_lines SET"
BREAKS: dict[str, tuple[list[Break], set[str], str]] = {
    # -- the chain
    "a changed amount": (
        [f"{INVOICES} amount_cents = 5731 WHERE id = 1"],
        {"hash", "sum", "ledger", "balance", "revenue", "owed"},
        f"{A}: its hash is not that of what it says",
    ),
    "another buyer": ([f"{INVOICES} buyer = '{{}}' WHERE id = 1"], {"hash"}, f"{A}: its hash"),
    "another word in a line": ([f"{LINES} description = 'x' WHERE invoice_id = 1 AND position = 1"], {"hash"}, A),
    "a hash made anew": (
        [f"{INVOICES} buyer = '{{}}' WHERE id = 1", rehash],
        {"chain"},
        "FACT-202606-0001: does not follow number 1 of the chain: that one has another hash",
    ),
    "the last one gone": (
        [
            "DELETE FROM billing_invoice_lines WHERE invoice_id = 6",
            "DELETE FROM billing_invoice_taxes WHERE invoice_id = 6",
            "DELETE FROM transactions WHERE invoice_id = 6",
            "DELETE FROM invoices WHERE id = 6",
        ],
        {"chain", "number", "revenue", "balance", "owed"},
        "the chain of tenant 1 ends at 3",
    ),
    "one in the middle gone": (
        ["DELETE FROM invoices WHERE id = 3"],
        {"chain", "number", "revenue", "orphan", "owed"},
        "number 2 of the chain, which is before it, is missing",
    ),
    "a chain that is kept otherwise": (
        ["UPDATE billing_invoice_chains SET hash = 'x' WHERE tenant_id = 1"],
        {"chain"},
        "is kept to end at 4 with x",
    ),
    "a chain that is not kept": (
        ["DELETE FROM billing_invoice_chains WHERE tenant_id = 2"],
        {"chain"},
        "kept to end at nowhere",
    ),
    "a place exchanged": (
        [f"{INVOICES} chain_position = 9 WHERE id = 1"],
        {"chain", "hash", "orphan"},
        f"{A}: number 8 of the chain, which is before it, is missing",
    ),
    "a date before the one before": (
        [f"{INVOICES} issued_at = '2026-04-30T00:00:00Z' WHERE id = 3"],
        {"chain", "hash", "number", "revenue"},
        "FACT-202606-0001: was issued before number 1 of the chain",
    ),
    "a hash taken away": (
        [f"{INVOICES} hash = NULL WHERE id = 5"],
        {"chain", "number", "orphan", "revenue"},
        "it is one of ours by its kind, and has no hash",
    ),
    # -- sums, VAT, ledger, recomputation
    "a line taken out": (
        ["DELETE FROM billing_invoice_lines WHERE invoice_id = 1 AND position = 7"],
        {"hash", "lines", "sum", "vat", "ledger"},
        f"{A}: it has 7 lines, and 6 are there",
    ),
    "a tax taken out": (
        ["DELETE FROM billing_invoice_taxes WHERE invoice_id = 1"],
        {"hash", "lines", "sum", "vat", "ledger", "credit"},
        f"{A}: it has 1 taxes, and 0 are there",
    ),
    "a net of a line": (
        [f"{LINES} net_cents = 1001 WHERE invoice_id = 1 AND position = 1"],
        {"hash", "sum", "vat", "ledger"},
        f"{A}: its lines sum to 4776, and it says 4775",
    ),
    "a VAT": (
        [
            "UPDATE billing_invoice_taxes SET tax_cents = 954 WHERE invoice_id = 1",
            f"{INVOICES} tax_cents = 954, amount_cents = 5729 WHERE id = 1",
        ],
        {"hash", "vat", "ledger", "balance", "revenue", "owed"},
        f"{A}: its VAT comes to 955 on 4775 (S 20 %), not 954 on 4775 (S 20 %)",
    ),
    "a row of the ledger": (
        ["UPDATE transactions SET amount_cents = amount_cents + 1 WHERE invoice_id = 1 AND type = 'overage'"],
        {"ledger", "owed"},
        f"{A}: its ledger says credit -660, overage 3841, subscription 2550, and should say credit -660, overage 3840",
    ),
    "a row of the ledger too many": (
        ["INSERT INTO transactions (user_id, invoice_id, type, amount_cents) VALUES (1, 1, 'credit', -5)"],
        {"ledger", "owed"},
        "its ledger says credit -660, credit -5",
    ),
    "a row of the ledger of somebody else": (
        ["UPDATE transactions SET user_id = 2 WHERE invoice_id = 1 AND type = 'credit'"],
        {"ledger", "orphan"},
        "of its ledger is another user's, tenant's or currency's",
    ),
    "a quantity": (
        [f"{LINES} quantity = '201' WHERE invoice_id = 1 AND position = 4"],
        {"hash", "line"},
        f"{A}: line 4 (overage): 200 at 0.01 were rated, and it says 201 at 0.01",
    ),
    "a price": (
        [f"{LINES} origin = REPLACE(origin, '\"0.10\"', '\"0.11\"') WHERE invoice_id = 1 AND position = 3"],
        {"hash", "line"},
        f"{A}: line 3 (overage): it comes to 1600 cents, not 1500",
    ),
    "days that were billed": (
        [f"{INVOICES} billed = REPLACE(billed, ':900', ':901') WHERE id = 1"],
        {"hash", "line"},
        "201 at 0.01 were rated",
    ),
    "late usage": (
        [f"{LINES} origin = REPLACE(origin, '\"30\":30', '\"30\":31') WHERE invoice_id = 3 AND position = 2"],
        {"hash", "line"},
        "line 2 (late): it comes to 31 cents, not 30",
    ),
    "a fee": (
        [f"{LINES} origin = REPLACE(origin, 't_cents\":1000', 't_cents\":1001') WHERE invoice_id = 1 AND position = 1"],
        {"hash", "line"},
        "line 1 (base): it comes to 1001 cents, not 1000",
    ),
    "an origin": (
        [f"{LINES} origin = '[]' WHERE invoice_id = 1 AND position = 3"],
        {"hash", "line"},
        "its origin cannot be read",
    ),
    "a period's fee": (
        ["UPDATE billing_periods SET fee_cents = 1001 WHERE id = 1"],
        {"line"},
        "the period 1 that it is of is 1001 cents, not 1000",
    ),
    "a period's discount": (
        ["UPDATE billing_discounts SET percent = '11'"],
        {"line"},
        "line 2 (discount): the code takes 110 cents off, not 100",
    ),
    "an item": (
        ["UPDATE billing_pending_items SET amount_cents = 1126 WHERE id = 2"],
        {"line"},
        "the item 2 that it is of is 1126 cents, not 1125",
    ),
    "an item not marked": (
        ["UPDATE billing_pending_items SET invoice_id = NULL WHERE id = 2"],
        {"line"},
        "is not marked as invoiced here",
    ),
    "a period that is gone": (
        ["DELETE FROM billing_periods WHERE id = 4"],
        {"line"},
        "the period 4 that it is of is not there",
    ),
    # -- numbers
    "a number's text": (
        [f"{INVOICES} invoice_number = 'FACT-202605-0007' WHERE id = 2"],
        {"hash", "number"},
        "FACT-202605-0007: number 1 of a document issued in 2026-05 is not written so",
    ),
    "a number's series": (
        [f"{INVOICES} series = '202604' WHERE id = 2"],
        {"hash", "number"},
        "the series 202604 of tenant 2 is not kept",
    ),
    "a hole": (
        [f"{INVOICES} series_number = 9 WHERE id = 6"],
        {"hash", "number"},
        "FACT-202606-0003: number 8 of the series 202606 is missing",
    ),
    "a series that went on": (
        ["UPDATE billing_invoice_series SET last_number = 4 WHERE tenant_id = 1 AND series = '202606'"],
        {"number"},
        "the series 202606 of tenant 1 has the numbers 1 to 4: of its documents there are 1 to 3",
    ),
    "a number given out twice": (
        ["DROP INDEX invoices_series", f"{INVOICES} series_number = 2 WHERE id = 6"],
        {"hash", "number"},
        "1 numbers of the series 202606 were given out twice",
    ),
    # -- what points elsewhere
    "a line of nothing": (
        [f"{LINES} invoice_id = 99 WHERE invoice_id = 5"],
        {"hash", "lines", "sum", "vat", "orphan"},
        "line 1 (invoice id 99) points at an invoice that is not there",
    ),
    "a period of somebody else": (
        ["UPDATE billing_periods SET invoice_id = 1 WHERE id = 2"],
        {"orphan", "line"},
        f"period 2 (invoice id 1) points at {A}, which is not its own",
    ),
    "an item of somebody else": (
        ["UPDATE billing_pending_items SET invoice_id = 2 WHERE id = 1"],
        {"orphan", "line"},
        "item 1 (invoice id 2) points at",
    ),
    "a closed month of another invoice": (
        ["UPDATE billing_invoiced_months SET invoice_id = 3 WHERE user_id = 1 AND month = '2026-04'"],
        {"orphan"},
        f"{A}: its month is not recorded as closed with it",
    ),
    "a month open again": (
        ["DELETE FROM billing_invoiced_months WHERE user_id = 3 AND month = '2026-05'"],
        {"orphan"},
        "FACT-202606-0001: its month is not recorded as closed with it",
    ),
    "a credit note of somebody else's": (
        [f"{INVOICES} credited_invoice_id = 2 WHERE id = 6"],
        {"hash", "orphan", "balance", "credit"},
        "FACT-202606-0003: what it takes back is no earlier invoice of this user",
    ),
    # -- money
    "revenue": (
        ["UPDATE billing_revenue SET net_cents = net_cents + 1 WHERE tenant_id = 1 AND month = '2026-05'"],
        {"revenue"},
        "the revenue of tenant 1 in 2026-05 says 4776 net_cents in EUR, and it is 4775",
    ),
    "what was paid": (
        ["UPDATE billing_invoice_balances SET paid_cents = paid_cents - 1 WHERE invoice_id = 1"],
        {"balance", "owed"},
        f"{A}: its balance says 3329 cents paid, and it is 3330",
    ),
    "what was credited": (
        ["UPDATE billing_invoice_balances SET credited_cents = credited_cents - 1 WHERE invoice_id = 1"],
        {"balance", "owed"},
        f"{A}: its balance says 2399 cents credited, and it is 2400",
    ),
    "a status": (
        [f"{INVOICES} status = 'paid' WHERE id = 2"],
        {"balance"},
        f"{A}: it is paid, and 1200 cents of it are open",
    ),
    "a status that is open": (
        [f"{INVOICES} status = 'overdue' WHERE id = 1"],
        {"balance"},
        f"{A}: it is overdue, and 0 cents of it are open",
    ),
    "a payment": (
        ["UPDATE billing_payments SET amount_cents = 6001"],
        {"balance", "owed"},
        f"{A}: its balance says 3330 cents paid, and it is 3331",
    ),
    "a refund": (
        ["UPDATE billing_payments SET refunded_cents = 501"],
        {"payment", "owed"},
        "payment 1: 501 cents went out, and 500 were taken for it",
    ),
    "a refund in the ledger": (
        ["DELETE FROM transactions WHERE type = 'refund'"],
        {"payment"},
        f"{A}: the ledger says 0 cents went out again, and its payments 500",
    ),
    "account credit": (
        ["UPDATE billing_account_credits SET balance_cents = balance_cents + 1"],
        {"credit", "owed"},
        "cents of account credit in EUR, and its entries sum to",
    ),
    "a credit note beyond a rate": (
        ["UPDATE billing_invoice_taxes SET base_cents = -4000 WHERE invoice_id = 6"],
        {"hash", "sum", "vat", "credit"},
        f"{A}: of 4775 and 955 at S 20 % its credit notes leave -225 and 555",
    ),
    # -- use
    "what a counter says was billed": (
        ["UPDATE usage_counters SET billed = 901 WHERE user_id = 1 AND month = '2026-04' AND metric = 'reports'"],
        {"billed"},
        f"{A}, user 1 reports 2026-04: 100 were billed, and its counter says 901",
    ),
}

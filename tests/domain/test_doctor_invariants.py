"""What can never be is broken on purpose, seen by the doctor, and mended again."""

from __future__ import annotations

from datetime import UTC, datetime

from billing_db import Connection, atomic, engine, execute, fetch_all
from tests.billed import SETTINGS, begin, bill, sell
from tests.cast import Cast
from turf_saas.doctor_invariants import INVARIANTS
from turf_saas.rollover import advance_due

INVOICES, LINES = "UPDATE invoices SET", "UPDATE billing_invoice_lines SET"
# Which check, how it is broken, how it is mended, and what is said.
BREAKS = [
    (
        "series",
        f"{INVOICES} series_number = 9 WHERE id = 6",
        f"{INVOICES} series_number = 3 WHERE id = 6",
        (
            "FACT-202606-0003: number 8 of the series 202606 is missing; "
            "the series 202606 of tenant 1 has the numbers 1 to 3: of its documents there are 1 to 9."
        ),
    ),
    (
        "series",
        "UPDATE billing_invoice_series SET last_number = 4 WHERE tenant_id = 1 AND series = '202606'",
        "UPDATE billing_invoice_series SET last_number = 3 WHERE tenant_id = 1 AND series = '202606'",
        "the series 202606 of tenant 1 has the numbers 1 to 4: of its documents there are 1 to 3.",
    ),
    (
        "chain",
        "UPDATE billing_invoice_chains SET position = 5 WHERE tenant_id = 1",
        "UPDATE billing_invoice_chains SET position = 4 WHERE tenant_id = 1",
        "the chain of tenant 1 ends at 4 with ",
    ),
    (
        "orphans",
        f"{LINES} invoice_id = 99 WHERE invoice_id = 5",
        f"{LINES} invoice_id = 5 WHERE invoice_id = 99",
        "line 1 (invoice id 99) points at an invoice that is not there.",
    ),
    (
        "orphans",
        "UPDATE billing_invoice_taxes SET invoice_id = 99 WHERE invoice_id = 5",
        "UPDATE billing_invoice_taxes SET invoice_id = 5 WHERE invoice_id = 99",
        "tax 1 (invoice id 99) points at an invoice that is not there.",
    ),
    (
        "orphans",
        "UPDATE transactions SET user_id = 2 WHERE invoice_id = 1 AND type = 'credit'",
        "UPDATE transactions SET user_id = 1 WHERE invoice_id = 1 AND type = 'credit'",
        "of the ledger (invoice id 1) points at FACT-202605-0001, which is not its own.",
    ),
]


def unguarded(db: Connection, *statements: str) -> None:
    """As somebody with the file has it: no trigger, no foreign key."""
    if engine(db) == "sqlite":
        db.execute("PRAGMA foreign_keys = OFF")
    with atomic(db):
        if engine(db) == "postgresql":
            execute(db, "SET LOCAL session_replication_role = replica")
        else:
            for row in fetch_all(db, "SELECT name FROM sqlite_master WHERE type = 'trigger'"):
                execute(db, f"DROP TRIGGER {row['name']}")
        for statement in statements:
            execute(db, statement)


def wrong(db: Connection) -> dict[str, str]:
    found = [examine(db) for examine in INVARIANTS.values()]
    assert {one.level for one in found} <= {"ok", "error"}
    return {one.check: one.message for one in found if one.level == "error"}


def test_each_thing_that_is_broken_is_said_by_its_check_alone(db: Connection, people: Cast) -> None:
    bill(db, people)
    assert wrong(db) == {}
    for check, broken, mended, said in BREAKS:
        unguarded(db, broken)
        found = wrong(db)
        assert (found.keys(), said in found[check]) == ({check}, True), found
        unguarded(db, mended)
        assert wrong(db) == {}


def test_two_live_subscriptions_of_a_user_are_an_error(db: Connection, people: Cast) -> None:
    for status in ("active", "canceled", "paused"):
        people.alice.is_on("pro", status=status)
    people.bob.is_on("pro", status="unpaid")
    assert wrong(db) == {}
    unguarded(db, "DROP INDEX saas_subscriptions_one_live")
    people.alice.is_on("pro", status="trialing")
    assert wrong(db) == {"live": "user 1 has 2 live subscriptions."}


def test_of_many_the_first_five_are_said(db: Connection, people: Cast) -> None:
    unguarded(db, "DROP INDEX saas_subscriptions_one_live")
    for person in vars(people).values():
        person.is_on("pro")
        person.is_on("free")
    assert wrong(db)["live"].endswith("; user 5 has 2 live subscriptions.")
    eve = "INSERT INTO users (id, name) VALUES (6, 'eve')"
    live = "INSERT INTO saas_subscriptions (user_id, plan, status) VALUES (6, 'pro', 'active')"
    unguarded(db, eve, live, live)
    assert wrong(db)["live"].endswith("; user 5 has 2 live subscriptions; and 1 more.")


def three_months(db: Connection, people: Cast) -> int:
    """Alice's paid periods April, May and June, and one of no length; Bob's April. The id of her subscription."""
    sell(db)
    for person in (people.alice, people.bob):
        begin(db, person, "ten", datetime(2026, 4, 1, tzinfo=UTC))
    unguarded(db, "UPDATE saas_subscriptions SET status = 'canceled' WHERE user_id = 2")
    advance_due(db, datetime(2026, 6, 20, tzinfo=UTC), SETTINGS)
    [row] = fetch_all(db, "SELECT id FROM saas_subscriptions WHERE user_id = 1")
    columns = (
        "user_id, subscription_id, plan_id, month, nominal_start, nominal_end, fee_cents, price_cents, charged_cents, "
        "currency, opened_at"
    )
    unguarded(
        db,
        f"""INSERT INTO billing_periods ({columns}, starts_at, ends_at)
            SELECT {columns}, '2026-04-20T00:00:00Z', '2026-04-20T00:00:00Z' FROM billing_periods
             WHERE user_id = 1 AND month = '2026-04'""",
    )
    return int(row["id"])


def june_begins(db: Connection, at: str) -> None:
    moved = f"UPDATE billing_periods SET nominal_start = '{at}', starts_at = '{at}' WHERE user_id = 1"
    unguarded(db, f"{moved} AND month = '2026-06'")


def test_periods_that_overlap_are_an_error_by_the_second(db: Connection, people: Cast) -> None:
    mine = f"subscription {three_months(db, people)} (user 1): the period from"
    for begins, said in (
        ("2026-06-01T00:00:00Z", None),
        ("2026-05-31T23:59:59Z", f"{mine} 2026-05-31T23:59:59Z overlaps one that ends at 2026-06-01T00:00:00Z."),
    ):
        june_begins(db, begins)
        assert wrong(db) == ({"periods": said} if said else {})
    june_begins(db, "2026-06-01T00:00:00Z")
    ends = "nominal_end = '2026-07-01T00:00:00Z', ends_at = '2026-07-01T00:00:00Z'"
    unguarded(db, f"UPDATE billing_periods SET {ends} WHERE user_id = 1 AND month = '2026-04' AND starts_at < ends_at")
    assert (
        wrong(db)["periods"].count(" overlaps one that ends at 2026-07-01") == 2
    )  # June follows May, and lies in April


def test_a_gap_between_periods_is_an_error_unless_nobody_paid(db: Connection, people: Cast) -> None:
    subscription_id = three_months(db, people)
    june_begins(db, "2026-06-01T00:00:01Z")
    gap = f"subscription {subscription_id} (user 1): no period from 2026-06-01T00:00:00Z to 2026-06-01T00:00:01Z."
    assert wrong(db) == {"periods": gap}
    for unpaid_at, said in (
        ("2026-04-30T23:59:59Z", {"periods": gap}),
        ("2026-05-01T00:00:00Z", {}),
        ("2026-06-01T00:00:01Z", {}),
        ("2026-06-01T00:00:02Z", {"periods": gap}),
    ):
        unguarded(
            db,
            f"""INSERT INTO billing_status_history (user_id, subject, subject_id, status, at)
                VALUES (1, 'subscription', {subscription_id}, 'unpaid', '{unpaid_at}')""",
        )
        assert wrong(db) == said, unpaid_at
        unguarded(db, "DELETE FROM billing_status_history WHERE status = 'unpaid'")

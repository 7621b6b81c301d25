"""What can never be, whoever wrote it: looked at in SQL, cheaply enough for every day.

Each document is proved to the cent by turf_saas/verifying.py; here only what holds them together is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from billing_db import Connection, Row, fetch_each, snapshot
from turf_saas.doctor_findings import Finding, broken
from turf_saas.register_proof import prove_ends, prove_pointers, prove_series
from turf_saas.values import plain

# Each period of a subscription after the one that reaches furthest of those before it.
_FOLLOWING = """
    SELECT * FROM (
        SELECT user_id, subscription_id, starts_at,
               MAX(starts_at) OVER before AS former, MAX(ends_at) OVER before AS reached
          FROM billing_periods WHERE starts_at < ends_at
        WINDOW before AS (PARTITION BY subscription_id ORDER BY starts_at, id
                          ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)) AS x
"""
# While somebody does not pay, no period begins.
_NOT_UNPAID = """
    NOT EXISTS (SELECT 1 FROM billing_status_history AS h
                 WHERE h.user_id = x.user_id AND h.subject = 'subscription' AND h.subject_id = x.subscription_id
                   AND h.status = 'unpaid' AND h.at >= x.former AND h.at <= x.starts_at)
"""


def examine_live(db: Connection) -> Finding:
    """A user has one live subscription, or none."""
    twice = _each(
        db,
        """SELECT user_id, COUNT(*) AS rows FROM saas_subscriptions
            WHERE status IN ('trialing', 'active', 'past_due', 'unpaid') GROUP BY user_id HAVING COUNT(*) > 1
            ORDER BY user_id""",
        lambda row: f"user {plain(row['user_id'])} has {row['rows']} live subscriptions",
    )
    return broken("live", twice, "Nobody has two live subscriptions.")


def examine_periods(db: Connection) -> Finding:
    """The paid periods of a subscription follow each other: no day is paid twice, and none is left out."""

    def say(row: Row) -> str:
        whose = f"subscription {row['subscription_id']} (user {plain(row['user_id'])})"
        if row["starts_at"] < row["reached"]:
            return f"{whose}: the period from {row['starts_at']} overlaps one that ends at {row['reached']}"
        return f"{whose}: no period from {row['reached']} to {row['starts_at']}"

    wrong = _each(
        db,
        f"""{_FOLLOWING} WHERE starts_at < reached OR (starts_at > reached AND {_NOT_UNPAID})
            ORDER BY subscription_id, starts_at""",
        say,
    )
    return broken("periods", wrong, "The paid periods of each subscription follow each other.")


def examine_series(db: Connection) -> Finding:
    with snapshot(db):
        return broken("series", (one.sentence for one in prove_series(db, None)), "No number of a series is missing.")


def examine_chain(db: Connection) -> Finding:
    """Its end only: each of its links is proved by `flask billing verify`."""
    with snapshot(db):
        said = (one.sentence for one in prove_ends(db, None))
        return broken("chain", said, "Each chain of invoices ends where it is kept to end.")


def examine_orphans(db: Connection) -> Finding:
    with snapshot(db):
        said = (one.sentence for one in prove_pointers(db, None))
        return broken("orphans", said, "Every line, tax, payment and row of the ledger belongs to its invoice.")


def _each(db: Connection, sql: str, say: Callable[[Row], str]) -> Iterator[str]:
    with snapshot(db):
        for row in fetch_each(db, sql):
            yield say(row)


INVARIANTS: dict[str, Callable[[Connection], Finding]] = {
    "live": examine_live,
    "periods": examine_periods,
    "series": examine_series,
    "chain": examine_chain,
    "orphans": examine_orphans,
}

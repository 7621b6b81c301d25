"""A process that issues what is over: `python -m tests.scenarios.issuer URL AT_ONCE [DIES_AFTER]`.

It says "ready", waits for a line, runs, tells after each part how many users are done, and at last what it has issued.
DIES_AFTER: when so many users are done, SQLite kills it in the middle of a statement of the next part.
"""

from __future__ import annotations

import os
import signal
import sys

import billing_db
from billing_db import Connection, DatabaseBusy, atomic, execute, fetch_all
from tests.domain.issuing import SETTINGS, at
from turf_saas import issuing

NOW = at(6, 1, 3)
FIRST = 1_000  # the first user of the crowd
TRIES = 20
INSTRUCTIONS = 100_000  # of SQLite's machine: a part of 500 users needs some millions

_CROWD = "WITH RECURSIVE n (id) AS (SELECT CAST(:first AS INTEGER) UNION ALL SELECT id + 1 FROM n WHERE id < :last)"
_OF_EACH = (
    f"INSERT INTO users (id, name) {_CROWD} SELECT id, 'somebody' FROM n",
    f"""INSERT INTO saas_subscriptions (user_id, plan, plan_id, status, effective_at, anchor, current_period_start,
                                        current_period_end)
        {_CROWD} SELECT n.id, p.code, p.id, 'active', '2026-04-01T00:00:00Z', '2026-04-01', '2026-06-01T00:00:00Z',
                        '2026-07-01T00:00:00Z'
                   FROM n JOIN billing_plans AS p ON p.tenant_id = 1 AND p.code = 'premium'""",
    """INSERT INTO billing_periods (user_id, subscription_id, plan_id, month, starts_at, ends_at, nominal_start,
                                    nominal_end, fee_cents, price_cents, charged_cents, currency, opened_at)
       SELECT s.user_id, s.id, s.plan_id, m.month, m.starts_at, m.ends_at, m.starts_at, m.ends_at, 1900, 1900, 1900,
              'EUR', m.starts_at
         FROM saas_subscriptions AS s
        CROSS JOIN (SELECT '2026-04' AS month, '2026-04-01T00:00:00Z' AS starts_at, '2026-05-01T00:00:00Z' AS ends_at
                    UNION ALL SELECT '2026-05', '2026-05-01T00:00:00Z', '2026-06-01T00:00:00Z') AS m
        WHERE s.user_id BETWEEN :first AND :last AND m.month >= :since""",
    f"""INSERT INTO usage_aggregates (user_id, metric, period_start, total)
        {_CROWD} SELECT id, 'tokens', '2026-05-09', 1100000 + id FROM n""",
)


def enter_crowd(db: Connection, count: int, *, since: str = "2026-04") -> range:
    """So many users on premium since April, who have used too many tokens in May; `since`: whose fee is unbilled."""
    for sql in _OF_EACH:
        given = {"first": FIRST, "last": FIRST + count - 1, **({"since": since} if ":since" in sql else {})}
        with atomic(db):
            execute(db, sql, **given)
    return range(FIRST, FIRST + count)


def invoices_per_month(db: Connection) -> dict[str, list[int]]:
    """Whose invoices of each month there are."""
    found: dict[str, list[int]] = {}
    for row in fetch_all(db, "SELECT month, user_id FROM invoices WHERE kind = 'period' ORDER BY month, user_id"):
        found.setdefault(row["month"], []).append(row["user_id"])
    return found


def main(url: str, at_once: int, dies_after: int | None = None) -> None:
    issuing.AT_ONCE = at_once
    db = billing_db.connect(url)

    def tell(so_far: int, _of: int) -> None:
        print(so_far, flush=True)
        if so_far == dies_after:
            db.set_progress_handler(lambda: os.kill(os.getpid(), signal.SIGKILL), INSTRUCTIONS)

    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(TRIES):
        try:
            done = issuing.run(db, NOW, SETTINGS, 1, progress=tell)
        except DatabaseBusy:  # as whoever runs it by the clock: again
            continue
        assert not done.failed, done.failed
        print(f"issued {done.issued}", flush=True)
        return


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))

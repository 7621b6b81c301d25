"""Whether events, days, counters and holds say the same, and how they come to say it again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Literal

from billing_db import Connection, engine, execute, fetch_all, fetch_each, fetch_one, snapshot
from turf_saas.rehearsal import rehearsal
from turf_saas.usage import touch_counters
from turf_saas.values import Month, UserId, instant_text, plain

Kind = Literal["day", "unexplained", "archived", "counter", "reserved", "key", "unkeyed"]
Counter = tuple[UserId, str, str]  # user, month, metric
Progress = Callable[[int, int], None]  # how many are done, of how many


def silent(_done: int, _of: int) -> None:
    """Nobody looks on."""


@dataclass(frozen=True)
class Disagreement:
    """Two records that should say the same. `truth` is the one that holds; what is wrong with a key has no numbers."""

    kind: Kind
    user_id: UserId
    metric: str | None
    period: str | None  # the day or the month
    truth: int | None
    stored: int | None
    tenant_id: int
    key: str | None = None
    event_id: str | None = None

    @property
    def sentence(self) -> str:
        where = f"user {plain(self.user_id)} {plain(self.metric)} {self.period}"
        key, event = plain(self.key), plain(self.event_id)
        return {
            "day": f"{where}: {self.truth} in events, {self.stored} in the day",
            "unexplained": f"{where}: no events, {self.stored} in the day",
            "archived": f"{where}: {self.truth} in events of a day that was archived, {self.stored} in the day",
            "counter": f"{where}: {self.stored} counted, {self.truth} in the days",
            "reserved": f"{where}: {self.truth} held, {self.stored} reserved",
            "key": f"user {plain(self.user_id)} key {key}: its event {event} is neither there nor archived",
            "unkeyed": f"{where} event {event}: its key {key} is not kept, so a retry would count again",
        }[self.kind]


@dataclass(frozen=True)
class Checked:
    """How much was compared, how many disagreements that gave, and the first of them."""

    proved: dict[str, int]
    archived_before: str | None
    disagreements: int
    shown: list[Disagreement]


@dataclass(frozen=True)
class Rebuilt:
    """How many disagreements were mended, and what is left."""

    mended: int
    first_mended: list[Disagreement]
    left: int
    first_left: list[Disagreement]


# -- check -----------------------------------------------------------------------------------------


def check(db: Connection, month: Month | None = None, *, most: int = 20) -> Checked:
    """One state of the database is looked at, while writers go on. A month leaves the keys of events out."""
    with room_for_pages(db), snapshot(db):
        disagreements, shown = 0, list[Disagreement]()
        for found in chain(find_days(db, month), find_counters(db, month), find_keys(db, month)):
            disagreements += 1
            if len(shown) < most:
                shown.append(found)
        return Checked(_count(db, month), archived_before(db), disagreements, shown)


@contextmanager
def room_for_pages(db: Connection) -> Iterator[None]:
    """SQLite's usual 2 MB would sort on the disk, and read and write again and again what lies in no order of time."""
    if engine(db) != "sqlite":
        yield
        return
    usual = fetch_all(db, "PRAGMA cache_size")[0]["cache_size"]
    fetch_all(db, "PRAGMA cache_size = -262144")  # KB, at most
    try:
        yield
    finally:
        fetch_all(db, f"PRAGMA cache_size = {int(usual)}")


def archived_before(db: Connection) -> str | None:
    """The first day whose events have to be in the database, when older ones were archived."""
    row = fetch_one(db, "SELECT MAX(before_day) AS day FROM usage_archives")
    return row["day"] if row else None


def _count(db: Connection, month: Month | None) -> dict[str, int]:
    row = fetch_one(
        db,
        """SELECT (SELECT COUNT(*) FROM usage_events WHERE day >= :first AND day < :end) AS events,
                  (SELECT COUNT(*) FROM usage_aggregates WHERE period_start >= :first AND period_start < :end)
                  AS days,
                  (SELECT COUNT(*) FROM consumption_log WHERE date >= :first AND date < :end) AS logged,
                  (SELECT COUNT(*) FROM usage_counters WHERE month >= :first_month AND month <= :last_month)
                  AS counters,
                  (SELECT COUNT(*) FROM usage_reservations
                    WHERE state = 'held' AND day >= :first AND day < :end) AS held""",
        **_span(month),
    )
    keys = fetch_one(db, "SELECT COUNT(*) AS keys FROM usage_keys") if month is None else None
    return {**dict(row or {}), **dict(keys or {})}


def _span(month: Month | None) -> dict[str, str]:
    """As texts: `-` stands before `.`, so a month's days lie between the two, also those that are no days."""
    if month is None:
        return {"first": "", "end": "~", "first_month": "", "last_month": "~"}
    return {"first": f"{month}-", "end": f"{month}.", "first_month": f"{month}", "last_month": f"{month}"}


def find_days(db: Connection, month: Month | None = None) -> Iterator[Disagreement]:
    """Days that are not the sum of their events. Of an archived day no event is left to compare."""
    archived = archived_before(db) or ""
    rows = fetch_each(
        db,
        """SELECT user_id, metric, day, SUM(quantity) AS events, SUM(total) AS total, SUM(n) AS n,
                  MIN(tenant_id) AS tenant_id
             FROM (SELECT tenant_id, user_id, metric, day, quantity, 0 AS total, 1 AS n FROM usage_events
                    WHERE day >= :first AND day < :end
                   UNION ALL
                   SELECT tenant_id, user_id, metric, period_start, 0, total, 0 FROM usage_aggregates
                    WHERE period_start >= :first AND period_start < :end) AS both_sides
            GROUP BY user_id, metric, day
           HAVING CASE WHEN day < :archived THEN SUM(n) > 0 ELSE SUM(quantity) <> SUM(total) END
            ORDER BY day DESC, user_id, metric""",
        archived=archived,
        **_span(month),
    )
    for row in rows:
        kind: Kind = "archived" if row["day"] < archived else "day" if row["n"] else "unexplained"
        place = (row["user_id"], row["metric"], row["day"])
        yield Disagreement(kind, *place, int(row["events"]), int(row["total"]), row["tenant_id"])


def find_counters(db: Connection, month: Month | None = None) -> Iterator[Disagreement]:
    """Months' counters that are not the sum of their days, or reserve another quantity than is held."""
    rows = fetch_each(
        db,
        """SELECT user_id, metric, month, SUM(used) AS used, SUM(summed) AS summed,
                  SUM(reserved) AS reserved, SUM(held) AS held, MIN(tenant_id) AS tenant_id
             FROM (SELECT tenant_id, user_id, metric, month, used, reserved, 0 AS summed, 0 AS held FROM usage_counters
                    WHERE month >= :first_month AND month <= :last_month
                   UNION ALL
                   SELECT tenant_id, user_id, metric, substr(day, 1, 7), 0, 0, quantity, 0 FROM daily_usage
                    WHERE day >= :first AND day < :end
                   UNION ALL
                   SELECT tenant_id, user_id, metric, substr(day, 1, 7), 0, 0, 0, quantity FROM usage_reservations
                    WHERE state = 'held' AND day >= :first AND day < :end) AS all_sides
            GROUP BY user_id, metric, month
           HAVING SUM(used) <> SUM(summed) OR SUM(reserved) <> SUM(held)
            ORDER BY month DESC, user_id, metric""",
        **_span(month),
    )
    for row in rows:
        place = (row["user_id"], row["metric"], row["month"])
        if row["used"] != row["summed"]:
            yield Disagreement("counter", *place, int(row["summed"]), int(row["used"]), row["tenant_id"])
        if row["reserved"] != row["held"]:
            yield Disagreement("reserved", *place, int(row["held"]), int(row["reserved"]), row["tenant_id"])


def find_keys(db: Connection, month: Month | None = None) -> Iterator[Disagreement]:
    """Keys whose event is neither there nor archived, and events whose key is not kept."""
    if month is None:
        lost = """SELECT tenant_id, user_id, idempotency_key, event_id FROM usage_keys
                   WHERE archive_id IS NULL
                     AND NOT EXISTS (SELECT 1 FROM usage_events AS e
                                      WHERE e.id = usage_keys.event_id AND e.user_id = usage_keys.user_id
                                        AND e.idempotency_key = usage_keys.idempotency_key)"""
        for row in fetch_each(db, lost):
            key, event_id, tenant_id = row["idempotency_key"], row["event_id"], row["tenant_id"]
            yield Disagreement("key", row["user_id"], None, None, None, None, tenant_id, key, event_id)
    unkeyed = """SELECT id, tenant_id, user_id, metric, day, idempotency_key FROM usage_events AS e
                  WHERE idempotency_key IS NOT NULL AND day >= :first AND day < :end
                    AND NOT EXISTS (SELECT 1 FROM usage_keys AS k
                                     WHERE k.user_id = e.user_id AND k.idempotency_key = e.idempotency_key)"""
    span = _span(month)
    for row in fetch_each(db, unkeyed, first=span["first"], end=span["end"]):
        place = (row["user_id"], row["metric"], row["day"])
        yield Disagreement("unkeyed", *place, None, None, row["tenant_id"], row["idempotency_key"], row["id"])


# -- rebuild ---------------------------------------------------------------------------------------


def rebuild(
    db: Connection,
    now: datetime,
    month: Month | None = None,
    *,
    drop_unexplained: bool = False,
    dry_run: bool = False,
    most: int = 20,
    progress: Progress = silent,
) -> Rebuilt:
    """Days are the sums of their events again, counters those of their days, and reserve what is held.

    A day that no event explains stays, unless drop_unexplained: another program may have written it.
    """
    wrong: list[Disagreement] = []
    left: list[Disagreement] = []
    with room_for_pages(db), rehearsal(db, dry_run=dry_run):
        wrong = [*find_days(db, month), *find_counters(db, month)]
        days: dict[Counter, list[Disagreement]] = {}
        for found in wrong:
            of_counter = days.setdefault((found.user_id, str(found.period)[:7], str(found.metric)), [])
            if found.kind in ("day", "unexplained"):
                of_counter.append(found)
        # Held first, in the order that everybody keeps: whoever counts here now waits, and it comes on top.
        touch_counters(
            db,
            [
                {
                    "user_id": found.user_id,
                    "day": str(found.period),
                    "metric": str(found.metric),
                    "tenant_id": found.tenant_id,
                }
                for found in wrong
            ],
        )
        for done, counter in enumerate(sorted(days), 1):
            _mend(db, now, counter, days[counter], drop_unexplained)
            progress(done, len(days))
        left = [*find_days(db, month), *find_counters(db, month)]
    still = {(found.kind, found.user_id, found.metric, found.period) for found in left}
    mended = [found for found in wrong if (found.kind, found.user_id, found.metric, found.period) not in still]
    return Rebuilt(len(mended), mended[:most], len(left), left[:most])


def _mend(db: Connection, now: datetime, counter: Counter, days: list[Disagreement], drop: bool) -> None:
    """The counter before its days, so that no trigger takes it below nothing, and after them, in case none is there."""
    user_id, month, metric = counter
    place = {"user_id": user_id, "month": month, "metric": metric}
    _count_again(db, place)
    for day in days:
        if day.kind == "unexplained":
            if drop:
                _drop_day(db, day)
        else:
            _sum_day(db, now, day)
    if days:
        _count_again(db, place)


def _sum_day(db: Connection, now: datetime, day: Disagreement) -> None:
    """Events that sum up to less than nothing were taken out by somebody: that is left to see."""
    execute(
        db,
        """INSERT INTO usage_aggregates (user_id, metric, period_start, total, tenant_id, created_at, updated_at)
           SELECT user_id, metric, day, CAST(SUM(quantity) AS BIGINT), MIN(tenant_id), :now, :now FROM usage_events
            WHERE user_id = :user_id AND metric = :metric AND day = :day
            GROUP BY user_id, metric, day HAVING SUM(quantity) BETWEEN 0 AND 4611686018427387904
           ON CONFLICT (user_id, metric, period_start)
           DO UPDATE SET total = excluded.total, updated_at = excluded.updated_at""",
        now=instant_text(now),
        user_id=day.user_id,
        metric=day.metric,
        day=day.period,
    )


def _drop_day(db: Connection, day: Disagreement) -> None:
    execute(
        db,
        """DELETE FROM usage_aggregates WHERE user_id = :user_id AND metric = :metric AND period_start = :day
              AND NOT EXISTS (SELECT 1 FROM usage_events AS e
                               WHERE e.user_id = :user_id AND e.metric = :metric AND e.day = :day)""",
        user_id=day.user_id,
        metric=day.metric,
        day=day.period,
    )


def _count_again(db: Connection, place: dict[str, UserId]) -> None:
    execute(
        db,
        """INSERT INTO usage_counters (user_id, metric, month, tenant_id, used, reserved)
           SELECT user_id, metric, month, MIN(tenant_id), CAST(SUM(used) AS BIGINT), CAST(SUM(held) AS BIGINT)
             FROM (SELECT user_id, metric, :month AS month, tenant_id, quantity AS used, 0 AS held FROM daily_usage
                    WHERE user_id = :user_id AND metric = :metric AND day >= :first AND day < :end
                   UNION ALL
                   SELECT user_id, metric, :month, tenant_id, 0, quantity FROM usage_reservations
                    WHERE user_id = :user_id AND metric = :metric AND state = 'held'
                      AND day >= :first AND day < :end
                   UNION ALL
                   SELECT user_id, metric, month, tenant_id, 0, 0 FROM usage_counters
                    WHERE user_id = :user_id AND metric = :metric AND month = :month) AS all_sides
            GROUP BY user_id, metric, month
           ON CONFLICT (user_id, month, metric) DO UPDATE SET used = excluded.used, reserved = excluded.reserved""",
        first=f"{place['month']}-",
        end=f"{place['month']}.",
        **place,
    )

"""What users used in a month, per metric: its sum, and its days as an invoice keeps them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from billing_db import Connection, engine, fetch_all
from turf_saas.many import named, parts, places
from turf_saas.values import Month, UserId

# The days of a metric as one text, put together by the database: a month has a hundred of them per user.
_DAY = "'\"' || CAST(CAST(substr(day, 9, 2) AS INTEGER) AS TEXT) || '\":' || CAST(quantity AS TEXT)"
_TOGETHER = {"sqlite": f"group_concat({_DAY}, ',')", "postgresql": f"string_agg({_DAY}, ',')"}


class Used(NamedTuple):
    """What was used of a metric in a month; `text` is JSON, the quantity by the day of the month."""

    total: int
    text: str

    @property
    def days(self) -> dict[int, int]:
        return {int(day): quantity for day, quantity in json.loads(self.text).items()}


def list_used(db: Connection, user_ids: Sequence[UserId], month: Month) -> dict[UserId, dict[str, Used]]:
    """Per user and metric. The counters say which metrics there are, so that no other month's days are read."""
    found: dict[UserId, dict[str, Used]] = {}
    for part in parts(user_ids):
        rows = fetch_all(
            db,
            f"""SELECT user_id, metric, SUM(quantity) AS total, {_TOGETHER[engine(db)]} AS days
                  FROM (SELECT user_id, metric, day, SUM(quantity) AS quantity
                          FROM (SELECT user_id, 'api_calls' AS metric, date AS day, api_calls AS quantity
                                  FROM consumption_log
                                 WHERE user_id IN ({places(part)}) AND date BETWEEN :first AND :last
                                UNION ALL
                                SELECT a.user_id, a.metric, a.period_start AS day, a.total AS quantity
                                  FROM usage_counters AS c
                                  JOIN usage_aggregates AS a ON a.user_id = c.user_id AND a.metric = c.metric
                                 WHERE c.user_id IN ({places(part)}) AND c.month = :month
                                   AND a.period_start BETWEEN :first AND :last) AS written
                         GROUP BY user_id, metric, day) AS daily
                 WHERE quantity <> 0
                 GROUP BY user_id, metric ORDER BY user_id, metric""",  # noqa: S608
            month=str(month),
            first=month.first_day.isoformat(),
            last=month.last_day.isoformat(),
            **named(part),
        )
        for row in rows:
            found.setdefault(row["user_id"], {})[row["metric"]] = Used(int(row["total"]), f"{{{row['days']}}}")
    return found


def as_json(used: Mapping[str, Used]) -> str:
    """All metrics together: {metric: {day of the month: quantity}}."""
    return f"{{{','.join(f'{json.dumps(metric)}:{of.text}' for metric, of in sorted(used.items()))}}}"

"""GET /usage: the days of a user, newest first."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from billing_db import Connection
from tests.api.usage_calls import USAGE, days, faults, key_of
from tests.cast import Cast


def test_days_are_listed_newest_first_a_page_at_a_time(client: FlaskClient, people: Cast) -> None:
    for day, metric, quantity in (
        ("2026-05-01", "tokens", 1), ("2026-05-02", "tokens", 2), ("2026-05-02", "reports", 4),
        ("2026-05-02", "api_calls", 8), ("2026-05-03", "tokens", 16),
    ):  # fmt: skip
        people.alice.has_used(quantity, metric, day=day)
    whole = days(client, people.alice)
    assert whole == [
        ("2026-05-03", "tokens", 16), ("2026-05-02", "api_calls", 8), ("2026-05-02", "reports", 4),
        ("2026-05-02", "tokens", 2), ("2026-05-01", "tokens", 1),
    ]  # fmt: skip
    paged, cursor = [], ""
    for size in (2, 2, 1):
        reply = client.get(f"{USAGE}?limit=2{cursor}", headers=people.alice.headers).json
        assert len(reply["items"]) == size
        paged += [(item["period_start"], item["metric"], item["total"]) for item in reply["items"]]
        cursor = f"&cursor={reply['next_cursor']}"
    assert (paged, reply["next_cursor"]) == (whole, None)
    assert reply["items"][0] == {"period_start": "2026-05-01", "granularity": "day", "metric": "tokens", "total": 1}


def test_both_days_are_included_and_a_metric_can_be_picked(client: FlaskClient, people: Cast) -> None:
    for number in range(1, 6):
        people.alice.has_used(10**number, "tokens", day=f"2026-05-0{number}")
        people.alice.has_used(7, "reports", day=f"2026-05-0{number}")
    for query in ("from=2026-05-02&to=2026-05-04", "start_date=2026-05-02&end_date=2026-05-04",
                  "from=2026-05-02&start_date=2026-05-02&to=2026-05-04&end_date=2026-05-04"):  # fmt: skip
        found = [total for _, _, total in days(client, people.alice, f"metric=tokens&{query}")]
        assert found == [10_000, 1_000, 100]
    assert len(days(client, people.alice, "from=2026-05-05&to=2026-05-05")) == 2
    assert days(client, people.alice, "metric=nothing") == []


@pytest.mark.parametrize(
    ("query", "loc", "code"),
    [
        ("from=2026-05-02&to=2026-05-01", "/to", "days_reversed"),
        ("start_date=2026-05-02&end_date=2026-05-01", "/end_date", "days_reversed"),
        ("from=2026-05-02&start_date=2026-05-01", "/start_date", "field_differs"),
        ("to=2026-05-02&end_date=2026-05-01", "/end_date", "field_differs"),
        ("from=2026-5-2", "/from", "date_invalid"),
        ("from=2026-02-29", "/from", "date_invalid"),
        ("to=20260502", "/to", "date_invalid"),
        ("to=2026-W20-1", "/to", "date_invalid"),
        ("to=２０２６-05-01", "/to", "date_invalid"),
        ("end_date=", "/end_date", "date_invalid"),
        ("metric=Tokens", "/metric", "field_format"),
        ("limit=0", "/limit", "field_range"),
        ("limit=101", "/limit", "field_range"),
        ("cursor=WzFd", "/cursor", "cursor_invalid"),
        ("first=2026-05-01", "/first", "field_unknown"),
    ],
)
def test_a_query_that_cannot_be_answered_is_named(
    client: FlaskClient, people: Cast, query: str, loc: str, code: str
) -> None:
    reply = client.get(f"{USAGE}?{query}", headers=people.alice.headers)
    assert (reply.status_code, faults(reply)) == (422, [(loc, code)])


def test_only_an_admin_reads_anothers_days_and_only_of_his_tenant(
    client: FlaskClient, db: Connection, people: Cast
) -> None:
    people.alice.has_used(5, "tokens")
    assert len(days(client, people.ada, f"user_id={people.alice.id}")) == 1
    assert len(days(client, people.alice, f"user_id={people.alice.id}")) == 1
    for who in (people.bob, people.charlie, people.dora):
        reply = client.get(f"{USAGE}?user_id={people.alice.id}", headers=who.headers)
        assert (reply.status_code, reply.json["code"]) == (404, "user_not_found")
    key = key_of(db, people.ada)
    assert client.get(USAGE, headers=key).json["code"] == "scope_missing"

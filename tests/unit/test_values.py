"""Instants and months."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from turf_saas.values import Month, compact_json, instant_text, parse_instant

PARIS = ZoneInfo("Europe/Paris")


@pytest.mark.parametrize("text", ["2026-05", "0001-01", "9999-12", "2024-02", "2026-10"])
def test_a_month_is_read_and_written_back(text: str) -> None:
    assert str(Month.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "", "2026-1", "2026-13", "2026-00", "0000-01", "2026-05\n", " 2026-05", "2026/05", "202605", "2026-05-01",
        "-026-05", "2026-5", "20260-5", "+026-05", "2026-0५", "２０２６-05", "٢٠٢٦-٠٥", "𝟐𝟎𝟐𝟔-05",
        "2026-05\0", "2" * 5000,
    ],
)  # fmt: skip
def test_anything_else_is_no_month(text: str) -> None:
    assert Month.parse(text) is None


@pytest.mark.parametrize(
    ("month", "last"),
    [
        ("2024-02", date(2024, 2, 29)),
        ("2026-02", date(2026, 2, 28)),
        ("2100-02", date(2100, 2, 28)),
        ("2000-02", date(2000, 2, 29)),
        ("2026-12", date(2026, 12, 31)),
        ("9999-12", date(9999, 12, 31)),
    ],
)
def test_a_month_knows_its_last_day(month: str, last: date) -> None:
    parsed = Month.parse(month)
    assert parsed is not None
    assert parsed.first_day == last.replace(day=1)
    assert parsed.last_day == last


@pytest.mark.parametrize(
    ("month", "zone", "end"),
    [
        ("2026-12", UTC, "2027-01-01T00:00:00Z"),
        ("2026-12", PARIS, "2026-12-31T23:00:00Z"),
        ("2026-03", PARIS, "2026-03-31T22:00:00Z"),  # summer time began on the 29th
        ("2026-10", PARIS, "2026-10-31T23:00:00Z"),  # and ended on the 25th
        ("2026-01", ZoneInfo("America/New_York"), "2026-02-01T05:00:00Z"),
        ("2026-04", ZoneInfo("Pacific/Kiritimati"), "2026-04-30T10:00:00Z"),
        ("9999-12", UTC, "9999-12-31T23:59:59Z"),
        ("9999-12", ZoneInfo("America/New_York"), "9999-12-31T23:59:59Z"),
        ("0001-01", PARIS, "0001-01-31T23:50:39Z"),  # Paris kept its own mean time, 9 min 21 s ahead
    ],
)
def test_a_month_ends_at_local_midnight(month: str, zone: ZoneInfo, end: str) -> None:
    parsed = Month.parse(month)
    assert parsed is not None
    assert instant_text(parsed.ends_at(zone)) == end


def test_the_month_of_an_instant_is_the_local_one() -> None:
    instant = datetime(2026, 5, 31, 22, 30, tzinfo=UTC)
    assert str(Month.of(instant, UTC)) == "2026-05"
    assert str(Month.of(instant, PARIS)) == "2026-06"


def test_an_instant_is_read_back_as_it_was_written() -> None:
    instant = datetime(2026, 5, 31, 22, 30, 15, tzinfo=UTC)
    assert instant_text(instant.astimezone(PARIS)) == "2026-05-31T22:30:15Z"
    assert parse_instant(instant_text(instant)) == instant


@pytest.mark.parametrize(("month", "before"), [("2026-02", "2026-01"), ("2026-01", "2025-12"), ("0002-01", "0001-12")])
def test_each_month_has_one_before_it(month: str, before: str) -> None:
    parsed = Month.parse(month)
    assert parsed is not None
    assert (str(parsed.before), parsed.before < parsed) == (before, True)


def test_json_is_written_without_blanks_and_with_its_letters() -> None:
    """As it stands in a hash, so it must never read otherwise."""
    assert compact_json({"b": [1, None, True], "a": 'é\u2028 "x"'}) == '{"b":[1,null,true],"a":"é\u2028 \\"x\\""}'

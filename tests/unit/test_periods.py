"""Where periods begin and end: short months, leap years, clocks that change, the edges of the calendar."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.cases import cases
from turf_saas.errors import InvalidInput
from turf_saas.periods import (
    Cycle,
    Interval,
    Period,
    first_period,
    nth_start,
    period_at,
    seconds_between,
    start_of_day,
    trial_period,
)
from turf_saas.values import Month, instant_text, local_day, parse_instant

PARIS = ZoneInfo("Europe/Paris")
NEW_YORK = ZoneInfo("America/New_York")
SAO_PAULO = ZoneInfo("America/Sao_Paulo")
HAVANA = ZoneInfo("America/Havana")
APIA = ZoneInfo("Pacific/Apia")


def starts(cycle: Cycle, interval: Interval, anchor: date, zone: tzinfo, count: int) -> list[str]:
    return [instant_text(nth_start(cycle, interval, anchor, zone, number)) for number in range(count)]


def shown(period: Period) -> tuple[str, str]:
    return instant_text(period.start), instant_text(period.end)


# -- the start of a day --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "zone", "start"),
    [
        (date(2026, 5, 20), UTC, "2026-05-20T00:00:00Z"),
        (date(2026, 5, 20), PARIS, "2026-05-19T22:00:00Z"),
        (date(2026, 3, 29), PARIS, "2026-03-28T23:00:00Z"),  # clocks change at 2:00 of this day
        (date(2026, 3, 30), PARIS, "2026-03-29T22:00:00Z"),
        (date(2017, 10, 15), SAO_PAULO, "2017-10-15T03:00:00Z"),  # 0:00 leaps to 1:00: the first instant that there is
        (date(2017, 11, 5), HAVANA, "2017-11-05T04:00:00Z"),  # 0:00 comes twice: the first of them
        (
            date(2011, 12, 30),
            APIA,
            "2011-12-30T10:00:00Z",
        ),  # the day that Samoa left out begins where the next one does
        (date(2011, 12, 31), APIA, "2011-12-30T10:00:00Z"),
        (date(1, 1, 2), PARIS, "0001-01-01T23:50:39Z"),
        (date(9999, 12, 31), NEW_YORK, "9999-12-31T05:00:00Z"),
    ],
)
def test_a_day_begins_at_its_first_instant(day: date, zone: tzinfo, start: str) -> None:
    assert instant_text(start_of_day(day, zone)) == start


def test_a_day_ends_where_the_next_begins_and_a_month_with_its_last_day() -> None:
    for zone in (UTC, PARIS, SAO_PAULO, APIA):
        for month in ("2017-10", "2011-12", "2024-02"):
            found = Month.parse(month)
            assert found is not None
            assert found.ends_at(zone) == start_of_day(found.last_day + timedelta(days=1), zone)


# -- anchors -------------------------------------------------------------------------------------------

ANCHORED = [case for case in cases("anchors") if "boundaries" in case["expected"]]


@pytest.mark.parametrize("case", ANCHORED, ids=lambda case: case["id"])
@pytest.mark.parametrize("zone", [UTC, PARIS, APIA], ids=str)
def test_periods_keep_the_original_day(case: dict[str, Any], zone: tzinfo) -> None:
    given = case["inputs"]
    interval: Interval = "year" if given["interval_months"] == 12 else "month"
    anchor = date.fromisoformat(given["anchor"])
    days = [
        local_day(nth_start("anniversary", interval, anchor, zone, number), zone).isoformat()
        for number in range(given["periods"] + 1)
    ]
    assert days == case["expected"]["boundaries"]
    assert days != case["expected"]["wrong_if_iterated_without_anchor"]


def test_the_days_of_the_peers_own_tests() -> None:
    found = {case["id"]: case for case in cases("anchors")}
    # billing day 31, a date of 19 February: the next one is the last of February
    assert period_at("anniversary", "month", date(2022, 1, 31), UTC, at("2022-02-19")).end == at(
        found["an-kb-bcd31-feb"]["expected"]["next"]
    )
    for name in ("an-kb-tz-hst", "an-kb-tz-tokyo"):
        given, expected = found[name]["inputs"], found[name]["expected"]
        instant = parse_instant(given["instant_utc"])
        assert local_day(instant, ZoneInfo(given["timezone"])).day == expected["billing_day"]
    # anchored on 30 April 2019, billed on 30 March 2020 for the period before
    given, expected = (found["an-lago-apr30-leap"][part] for part in ("inputs", "expected"))
    billed = period_at("anniversary", "month", date.fromisoformat(given["anchor"]), UTC, at("2020-03-29"))
    assert billed.start == at(expected["billed_period_start"])
    assert billed.end == at(given["billing_at"])
    expected = found["an-dec"]["expected"]
    assert period_at("calendar", "month", date(2025, 1, 1), UTC, at("2025-12-17")) == Period(
        at(expected["from"]), at(expected["to_exclusive"])
    )


def at(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC)


def test_a_year_from_the_leap_day() -> None:
    assert starts("anniversary", "year", date(2024, 2, 29), UTC, 5) == [
        "2024-02-29T00:00:00Z",
        "2025-02-28T00:00:00Z",
        "2026-02-28T00:00:00Z",
        "2027-02-28T00:00:00Z",
        "2028-02-29T00:00:00Z",
    ]


def test_a_century_without_a_leap_day() -> None:
    period = period_at("anniversary", "year", date(2096, 2, 29), UTC, at("2100-06-01"))
    assert shown(period) == ("2100-02-28T00:00:00Z", "2101-02-28T00:00:00Z")


def test_a_year_is_counted_from_its_anchor_whatever_the_cycle() -> None:
    assert first_period("calendar", "year", date(2026, 5, 20), UTC) == Period(at("2026-05-20"), at("2027-05-20"))


def test_boundaries_follow_the_local_clock() -> None:
    """Summer time begins on 29 March and ends on 25 October."""
    assert starts("anniversary", "month", date(2026, 2, 15), PARIS, 3) == [
        "2026-02-14T23:00:00Z",
        "2026-03-14T23:00:00Z",
        "2026-04-14T22:00:00Z",
    ]
    october = period_at("calendar", "month", date(2026, 1, 1), PARIS, parse_instant("2026-10-31T22:59:59Z"))
    assert shown(october) == ("2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z")
    assert october.seconds == (31 * 24 + 1) * 3600


def test_a_period_may_begin_at_the_hour_that_follows_a_leap_over_midnight() -> None:
    period = period_at("anniversary", "month", date(2017, 8, 15), SAO_PAULO, parse_instant("2017-10-15T03:00:00Z"))
    assert shown(period) == ("2017-10-15T03:00:00Z", "2017-11-15T02:00:00Z")
    before = period_at("anniversary", "month", date(2017, 8, 15), SAO_PAULO, parse_instant("2017-10-15T02:59:59Z"))
    assert before.end == period.start


def test_where_clocks_go_back_over_midnight_a_period_that_has_begun_stays() -> None:
    """In Newfoundland 0:01 of 1 November 2009 was followed by 23:01 of 31 October."""
    zone = ZoneInfo("America/St_Johns")
    begun, back = parse_instant("2009-11-01T02:30:00Z"), parse_instant("2009-11-01T02:45:00Z")
    assert local_day(back, zone) == date(2009, 10, 31)
    for instant in (begun, back):
        assert period_at("calendar", "month", date(2009, 1, 1), zone, instant).start == begun


# -- the calendar cycle --------------------------------------------------------------------------------


def test_a_calendar_s_first_period_is_short_and_knows_its_full_length() -> None:
    first = first_period("calendar", "month", date(2026, 1, 15), UTC)
    assert shown(first) == ("2026-01-15T00:00:00Z", "2026-02-01T00:00:00Z")
    assert first.is_short
    assert shown(first.nominal) == ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z")
    second = period_at("calendar", "month", date(2026, 1, 15), UTC, first.end)
    assert shown(second) == ("2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z")
    assert not second.is_short
    assert second.nominal == second


def test_a_first_period_that_begins_on_the_1st_is_a_full_one() -> None:
    first = first_period("calendar", "month", date(2026, 12, 1), PARIS)
    assert not first.is_short
    assert shown(first) == ("2026-11-30T23:00:00Z", "2026-12-31T23:00:00Z")


def test_a_first_period_may_be_the_month_s_last_day() -> None:
    first = first_period("calendar", "month", date(2024, 2, 29), UTC)
    assert (first.seconds, first.nominal.seconds) == (86400, 29 * 86400)


def test_the_short_period_is_short_however_it_is_asked_for() -> None:
    anchor = date(2026, 1, 15)
    for instant in ("2026-01-15T00:00:00Z", "2026-01-20T13:00:00Z", "2026-01-31T23:59:59Z"):
        found = period_at("calendar", "month", anchor, UTC, parse_instant(instant))
        assert found == first_period("calendar", "month", anchor, UTC)


# -- an instant and its period -------------------------------------------------------------------------


def test_an_instant_on_the_boundary_belongs_to_the_period_that_begins() -> None:
    anchor = date(2026, 1, 31)
    boundary = at("2026-02-28")
    before = period_at("anniversary", "month", anchor, UTC, boundary - timedelta(seconds=1))
    after = period_at("anniversary", "month", anchor, UTC, boundary)
    assert before.end == after.start == boundary
    assert boundary in after
    assert boundary not in before


def test_a_clamped_day_later_in_the_month_does_not_confuse_it() -> None:
    found = period_at("anniversary", "month", date(2026, 1, 31), UTC, at("2026-03-15"))
    assert shown(found) == ("2026-02-28T00:00:00Z", "2026-03-31T00:00:00Z")


def test_no_period_begins_before_the_anchor() -> None:
    with pytest.raises(ValueError, match="before the first period"):
        period_at("calendar", "month", date(2026, 1, 15), UTC, at("2026-01-14"))


def test_seconds_pass_as_in_utc() -> None:
    """Two readings of one local clock differ by the hour that was left out."""
    night = datetime(2026, 3, 29, 0, 0, tzinfo=PARIS), datetime(2026, 3, 30, 0, 0, tzinfo=PARIS)
    assert seconds_between(*night) == 23 * 3600


# -- trials --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("days", "zone", "end"),
    [
        (1, UTC, "2026-05-21T00:00:00Z"),
        (14, UTC, "2026-06-03T00:00:00Z"),
        (14, PARIS, "2026-06-02T22:00:00Z"),
        (30, NEW_YORK, "2026-06-19T04:00:00Z"),
    ],
)
def test_a_trial_is_its_day_and_those_that_follow(days: int, zone: tzinfo, end: str) -> None:
    trial = trial_period(date(2026, 5, 20), days, zone)
    assert trial.start == start_of_day(date(2026, 5, 20), zone)
    assert instant_text(trial.end) == end


def test_a_trial_of_no_days_is_none() -> None:
    with pytest.raises(ValueError, match="0 days"):
        trial_period(date(2026, 5, 20), 0, UTC)


# -- the calendar's edges ------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", [UTC, PARIS, NEW_YORK, ZoneInfo("Pacific/Kiritimati")], ids=str)
@pytest.mark.parametrize(("cycle", "interval"), [("calendar", "month"), ("anniversary", "month"), ("calendar", "year")])
def test_what_leads_out_of_the_calendar_is_refused_in_a_sentence(
    zone: tzinfo, cycle: Cycle, interval: Interval
) -> None:
    last = date(9999, 12, 15)
    for ask in (
        lambda: first_period(cycle, interval, last, zone),
        lambda: nth_start(cycle, interval, date(2026, 1, 31), zone, 100_000),
        lambda: nth_start(cycle, interval, date(2026, 1, 31), zone, -100_000),
        lambda: period_at(cycle, interval, date(9999, 1, 20), zone, datetime.max.replace(tzinfo=UTC)),
        lambda: trial_period(last, 365, zone),
        lambda: trial_period(last, 2**40, zone),
        lambda: start_of_day(date.min, zone),
    ):
        with pytest.raises(InvalidInput) as refused:
            ask()
        assert refused.value.code == "date_out_of_range"
        assert "out of the calendar" in str(refused.value)


def test_the_last_month_that_has_an_end_is_a_period() -> None:
    found = first_period("calendar", "month", date(9999, 11, 1), PARIS)
    assert shown(found) == ("9999-10-31T23:00:00Z", "9999-11-30T23:00:00Z")

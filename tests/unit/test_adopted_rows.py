"""How days, instants and numbers of another program are read: what is plain is understood, nothing is guessed."""

from __future__ import annotations

from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo

import pytest

from turf_saas.schema.adopted_rows import adopted_day, adopted_instant, series_of

PARIS = ZoneInfo("Europe/Paris")


@pytest.mark.parametrize(
    ("given", "zone", "day"),
    [
        ("2026-01-05", UTC, "2026-01-05"),
        ("2026-1-5", UTC, "2026-01-05"),
        ("2026/1/05", UTC, "2026-01-05"),
        (" 2026-01-05\n", UTC, "2026-01-05"),
        ("20260105", UTC, "2026-01-05"),
        ("2026-01-05 23:59:59.5", PARIS, "2026-01-05"),
        ("2026-01-05T23:30:00Z", UTC, "2026-01-05"),
        ("2026-01-05T23:30:00Z", PARIS, "2026-01-06"),
        ("2026-01-05T00:30:00+14:00", UTC, "2026-01-04"),
        ("2024-02-29", UTC, "2024-02-29"),
        ("2026-02-29", UTC, None),
        ("05/01/2026", UTC, None),
        ("5.1.2026", UTC, None),
        ("2026-01", UTC, None),
        ("2026", UTC, None),
        ("26-01-05", UTC, None),
        ("2026-01-05 soon", UTC, None),
        ("9999-12-31T23:59:59-01:00", UTC, None),
        ("٢٠٢٦-٠١-٠٥", UTC, None),
        ("", UTC, None),
        (20260105, UTC, None),
        (b"2026-01-05", UTC, None),
        (None, UTC, None),
    ],
)
def test_a_day_is_read(given: object, zone: tzinfo, day: str | None) -> None:
    assert adopted_day(given, zone) == day


@pytest.mark.parametrize(
    ("given", "instant"),
    [
        ("2026-05-24 09:42:36", "2026-05-24T09:42:36Z"),
        ("2026-05-24T09:42:36.9Z", "2026-05-24T09:42:36Z"),
        ("2026-05-24T09:42:36+02:00", "2026-05-24T07:42:36Z"),
        ("2026-05-24", "2026-05-24T00:00:00Z"),
        (1777593600, "2026-05-01T00:00:00Z"),
        ("1777593600", None),
        (12, None),
        (1777593600000, None),
        ("never", None),
        ("0001-01-01T00:00:00+01:00", None),
        (None, None),
    ],
)
def test_an_instant_is_read(given: object, instant: str | None) -> None:
    assert adopted_instant(given) == instant


@pytest.mark.parametrize(
    ("number", "series"),
    [
        ("FACT-202605-0001", ("202605", 1)),
        ("FACT-202605-12345", ("202605", 12345)),
        ("FACT-202605-", None),
        ("FACT-2026-0001", None),
        ("XFACT-202605-0001", None),
        ("FACT-202605-0001-A", None),
        ("FACT-202605-" + "9" * 16, None),
        (None, None),
    ],
)
def test_a_number_names_its_series(number: object, series: tuple[str, int] | None) -> None:
    assert series_of(number) == series

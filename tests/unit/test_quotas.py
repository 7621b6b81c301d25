"""Thresholds and percentages, as tables of numbers."""

from __future__ import annotations

import pytest

from turf_saas.quotas import Gauge, alert_level, usage_pct

# used, limit, level, percentage shown
TABLE = [
    (0, 300, None, 0.0),
    (239, 300, None, 79.6),
    (240, 300, "soft", 80.0),
    (299, 300, "soft", 99.6),
    (300, 300, "hard", 100.0),
    (301, 300, "hard", 100.3),
    (23_999, 30_000, None, 79.9),  # 79.997 %
    (24_000, 30_000, "soft", 80.0),
    (29_985, 30_000, "soft", 99.9),  # 99.95 %: a rounded comparison would call it reached
    (29_999, 30_000, "soft", 99.9),
    (30_000, 30_000, "hard", 100.0),
    (0, 0, None, 0.0),
    (1, 0, "hard", 100.0),
    (1, 1, "hard", 100.0),
    (0, 1, None, 0.0),
    (10**12, None, None, None),
    (2**53 - 1, 2**53, "soft", 99.9),
    (2**53, 2**53, "hard", 100.0),
    (2**62, 1, "hard", 461168601842738790400.0),
]


@pytest.mark.parametrize(("used", "limit", "level", "pct"), TABLE)
def test_the_level_and_the_percentage_never_contradict(
    used: int, limit: int | None, level: str | None, pct: float | None
) -> None:
    assert alert_level(used, limit) == level
    assert usage_pct(used, limit) == pct


@pytest.mark.parametrize(
    ("gauge", "remaining"),
    [
        (Gauge("tokens", used=70, limit=100), 30),
        (Gauge("tokens", used=70, limit=100, reserved=20), 10),
        (Gauge("tokens", used=70, limit=100, reserved=40), 0),
        (Gauge("tokens", used=170, limit=100), 0),
        (Gauge("tokens", used=170, limit=None), None),
    ],
)
def test_what_remains_never_falls_below_zero(gauge: Gauge, remaining: int | None) -> None:
    assert gauge.remaining == remaining


def test_a_reservation_is_not_use() -> None:
    assert Gauge("tokens", used=70, limit=100, reserved=30).level is None

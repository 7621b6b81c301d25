"""The doctor on what Stripe tells: whether it is heard, and what waits for somebody."""

from __future__ import annotations

from datetime import timedelta

import pytest

from billing_db import Connection, atomic, execute
from tests.conftest import NOW
from tests.stripe_payloads import event, tell
from turf_saas.doctor import examine_database
from turf_saas.doctor_stripe import examine_events, examine_webhook
from turf_saas.settings import DEAF_TO_STRIPE, read_settings

SETTINGS = read_settings({"TURF_SAAS_DB": "unused"})


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, None),
        (
            {"STRIPE_WEBHOOK_SECRET": "whsec_1"},
            ("ok", "A secret is set; flask billing stripe-doctor asks whether Stripe posts here."),
        ),
        ({"STRIPE_SECRET_KEY": "sk_test_1"}, ("error", DEAF_TO_STRIPE)),
        (
            {"STRIPE_SECRET_KEY": "sk_test_1", "STRIPE_WEBHOOK_SECRET": "whsec_1"},
            ("ok", "A secret is set; flask billing stripe-doctor asks whether Stripe posts here."),
        ),
    ],
)
def test_a_key_without_a_secret_is_an_error(given: dict[str, str], found: tuple[str, str] | None) -> None:
    finding = examine_webhook(read_settings({"TURF_SAAS_DB": "unused", **given}))
    assert (finding and (finding.level, finding.message)) == found


@pytest.mark.parametrize(
    ("status", "after", "level", "said"),
    [
        ("applied", timedelta(days=9), "ok", "Every event of Stripe's is settled."),
        ("failed", timedelta(0), "error", "that cannot be applied: invoice.paid (2)"),
        ("mismatch", timedelta(0), "error", "that contradict the books: invoice.paid (2)"),
        ("deferred", timedelta(minutes=59, seconds=59), "ok", "Every event of Stripe's is settled."),
        ("deferred", timedelta(hours=1), "warning", "that wait for more than an hour: invoice.paid (2)"),
    ],
)
def test_what_waits_for_somebody_is_told(db: Connection, status: str, after: timedelta, level: str, said: str) -> None:
    for _ in range(2):
        tell(db, NOW, SETTINGS, event("invoice.paid", {"id": "in_1"}))
    with atomic(db):
        execute(db, "UPDATE billing_received_events SET status = :status", status=status)
    finding = examine_events(db, NOW + after)
    assert (finding.check, finding.level, said in finding.message) == ("events", level, True)
    assert finding in examine_database(db, NOW + after, SETTINGS)


def test_what_is_paid_there_and_not_booked_for_want_of_a_seller_is_an_error_at_once(db: Connection) -> None:
    tell(db, NOW, SETTINGS, event("invoice.paid", {"id": "in_1"}))
    with atomic(db):
        execute(
            db,
            "UPDATE billing_received_events SET status = 'deferred', note = :note",
            note="SellerIncomplete: seller_incomplete: The seller is incomplete: set BILLING_SELLER_NAME.",
        )
    finding = examine_events(db, NOW)
    assert finding.level == "error"
    assert "Paid at Stripe and not booked, because the seller is incomplete: invoice.paid (1)" in finding.message

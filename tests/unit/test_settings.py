"""Settings: each fault is one line that names the variable and its value."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest

from tests.starters import terms_of_starter
from turf_saas.errors import SettingsError
from turf_saas.plans import limits_of
from turf_saas.settings import Settings, read_settings, secret_is_weak


def read(**given: Any) -> Settings:
    return read_settings({"TURF_SAAS_DB": "billing.db", **given})


def test_without_anything_set_the_defaults_hold() -> None:
    settings = read()
    assert (settings.env, settings.locale, settings.currency, settings.timezone) == ("production", "fr", "EUR", UTC)
    assert (settings.users_table, settings.users_id) == ("users", "id")
    assert settings.dunning_days == (2, 7, 14, 21)
    assert settings.payment_days == 30
    assert settings.late_usage == "next_invoice"
    assert settings.self_report is False
    assert limits_of(settings, terms_of_starter("free")) == {"api_calls": 300, "tokens": 100_000}
    assert limits_of(settings, terms_of_starter("premium")) == {"api_calls": 3_000, "tokens": 1_000_000}
    assert limits_of(settings, terms_of_starter("pro")) == {"api_calls": 30_000, "tokens": 10_000_000}


def test_the_database_is_required() -> None:
    with pytest.raises(SettingsError, match="TURF_SAAS_DB is not set"):
        read_settings({})


@pytest.mark.parametrize(
    ("given", "limit"),
    [("0", 0), ("1", 1), ("300", 300), (300, 300), ("007", 7), ("unlimited", None), (str(2**53), 2**53)],
)
def test_a_limit_is_a_whole_number_or_unlimited(given: Any, limit: int | None) -> None:
    settings = read(BILLING_LIMIT_FREE_API_CALLS=given)
    assert limits_of(settings, terms_of_starter("free")) == {"api_calls": limit, "tokens": 100_000}
    assert limits_of(settings, terms_of_starter("premium"))["api_calls"] == 3_000


@pytest.mark.parametrize(
    "given",
    [
        "abc", "-1", "", " ", "1e3", "3.5", "0x10", "９", "1_000", " 300", "300 ", "300\n", "+3", "Unlimited", "None",
        "9" * 40, str(2**53 + 1), -1, 3.5, True,
    ],
)  # fmt: skip
def test_any_other_limit_stops_the_start_in_one_line(given: Any) -> None:
    with pytest.raises(SettingsError) as refused:
        read(BILLING_LIMIT_PREMIUM_TOKENS=given)
    line = str(refused.value)
    assert line.startswith(f"BILLING_LIMIT_PREMIUM_TOKENS={given!r}"[:60])
    assert "\n" not in line


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("BILLING_ENV", "prod"),
        ("BILLING_USERS_TABLE", 'users"; DROP TABLE users'),
        ("BILLING_USERS_ID", "1id"),
        ("BILLING_USERS_ID_TYPE", "uuid"),
        ("BILLING_DEFAULT_PLAN", "Free Plan"),
        ("BILLING_TIMEZONE", "Europe/Chantilly"),
        ("BILLING_TIMEZONE", "../../etc/passwd"),
        ("BILLING_LOCALE", "de"),
        ("BILLING_CURRENCY", "eur"),
        ("BILLING_PAYMENT_DAYS", "366"),
        ("BILLING_PAYMENT_DAYS", "-1"),
        ("BILLING_VAT_REGIME", "none"),
        ("BILLING_VAT_ON_DEBITS", "maybe"),
        ("BILLING_SELF_REPORT", "2"),
        ("BILLING_DUNNING_DAYS", "7,2"),
        ("BILLING_DUNNING_DAYS", "2,2"),
        ("BILLING_DUNNING_DAYS", "two"),
        ("BILLING_LATE_USAGE", "drop"),
        ("BILLING_TRUSTED_PROXIES", "yes"),
        ("BILLING_STRIPE_API_BASE", "api.stripe.com"),
        ("BILLING_SELLER_NAME", "Turf\nSARL"),
        ("BILLING_SELLER_SIREN", "123456789"),
        ("BILLING_SELLER_SIRET", "12345678200011"),
        ("BILLING_SELLER_VAT", "FR00123456782"),
        ("BILLING_SELLER_COUNTRY", "France"),
        ("BILLING_SELLER_IBAN", "FR7630006000011234567890180"),
        ("BILLING_SELLER_BIC", "BNP"),
        ("BILLING_OSS", "maybe"),
        ("BILLING_MENTION_PENALTY", "3 fois\0"),
    ],
)
def test_a_fault_names_the_variable_and_its_value(name: str, given: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read(**{name: given})
    assert str(refused.value).startswith(f"{name}={given!r}: must be ")


@pytest.mark.parametrize("name", ["STRIPE_SECRET_KEY", "TURF_SAAS_DB"])
def test_a_secret_is_not_shown_in_the_fault(name: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read(**{name: "hunter2\n"})
    assert "hunter2" not in str(refused.value)


def test_a_secret_is_not_shown_in_repr() -> None:
    settings = read(
        STRIPE_SECRET_KEY="sk_live_hunter2", STRIPE_WEBHOOK_SECRET="whsec_hunter2", BILLING_METRICS_TOKEN="hunter2"
    )
    assert "hunter2" not in repr(settings)


def test_several_webhook_secrets_serve_while_they_rotate() -> None:
    assert read(STRIPE_WEBHOOK_SECRET="whsec_a, whsec_b,").stripe_webhook_secrets == ("whsec_a", "whsec_b")


def test_the_seller_and_the_mentions_are_read_by_name() -> None:
    settings = read(
        BILLING_SELLER_NAME="Turf SARL", BILLING_SELLER_SIREN="123 456 782", BILLING_MENTION_PENALTY="3 fois"
    )
    assert settings.seller == {"NAME": "Turf SARL", "SIREN": "123456782"}
    assert settings.mentions == {"BILLING_MENTION_PENALTY": "3 fois"}


@pytest.mark.parametrize(
    ("secret", "weak"),
    [("", True), ("x" * 31, True), ("x" * 32, False), ("é" * 16, False), ("Your-256-bit-secret", True)],
)
def test_a_signing_secret_has_at_least_32_bytes(secret: str, weak: bool) -> None:
    assert secret_is_weak(secret) is weak

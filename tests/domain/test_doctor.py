"""What the doctor and the status say of a database that is not as the migrations left it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

import billing_db
from billing_db import Connection, engine
from tests.cast import Person
from tests.conftest import NOW
from tests.domain.tables import change
from turf_saas import schema
from turf_saas.doctor import examine_database
from turf_saas.doctor_findings import Finding
from turf_saas.settings import Settings, read_settings
from turf_saas.status import get_status

GONE = "Migrations made these, and they are gone or turned off: "


@pytest.fixture
def settings(url: str) -> Settings:
    return read_settings({"TURF_SAAS_DB": url})


def said(db: Connection, settings: Settings, check: str) -> list[tuple[str, str]]:
    found: list[Finding] = examine_database(db, NOW, settings)
    return [(finding.level, finding.message) for finding in found if finding.check == check]


def absent(db: Connection, settings: Settings) -> list[str]:
    return get_status(db, NOW, settings).absent


def test_nothing_is_missing_from_a_migrated_database(db: Connection, settings: Settings) -> None:
    assert schema.list_missing(db) == []
    assert absent(db, settings) == []
    assert {finding.level for finding in examine_database(db, NOW, settings)} <= {"ok", "warning"}


def test_nothing_is_missing_before_the_first_migration(empty_url: str) -> None:
    db = billing_db.connect(empty_url)
    settings = read_settings({"TURF_SAAS_DB": empty_url})
    assert absent(db, settings) == []
    assert said(db, settings, "schema") == [("error", "Migrations are pending: run flask billing migrate.")]
    db.close()


def test_every_index_trigger_and_function_that_is_gone_is_named(db: Connection, settings: Settings) -> None:
    on = "" if engine(db) == "sqlite" else " ON consumption_log"
    change(db, f"DROP TRIGGER consumption_log_counted{on}")
    change(db, "DROP INDEX saas_subscriptions_one_live")
    names = "index saas_subscriptions_one_live, trigger consumption_log_counted"
    assert said(db, settings, "schema") == [("error", f"{GONE}{names}.")]
    assert ", ".join(absent(db, settings)) == names
    assert said(db, settings, "counters") == [("ok", "The month's counters agree with the days.")]


def test_a_trigger_that_is_turned_off_is_named(on_postgresql: Connection) -> None:
    change(on_postgresql, "ALTER TABLE consumption_log DISABLE TRIGGER consumption_log_counted")
    change(on_postgresql, "ALTER TABLE invoices DISABLE TRIGGER USER")
    change(on_postgresql, "DROP FUNCTION billing_count_usage CASCADE")
    missing = set(schema.list_missing(on_postgresql))
    assert ("trigger", "consumption_log_counted") in missing
    assert ("trigger", "invoices_told") in missing
    assert ("function", "billing_count_usage") in missing
    assert ("trigger", "usage_aggregates_counted") in missing


@pytest.mark.parametrize("table", ["billing_installation", "billing_rejects"])
def test_a_table_that_is_gone_is_named_and_the_rest_left_out(db: Connection, settings: Settings, table: str) -> None:
    change(db, f"DROP TABLE {table}")
    [finding] = examine_database(db, NOW, settings)
    assert (finding.level, finding.message) == ("error", f"{GONE}table {table}.")
    assert absent(db, settings) == [f"table {table}"]


def test_a_table_in_the_place_of_the_view_is_not_the_view(db: Connection, settings: Settings) -> None:
    change(db, "DROP VIEW daily_usage")
    change(db, "CREATE TABLE daily_usage (id INTEGER)")
    assert said(db, settings, "schema") == [("error", f"{GONE}view daily_usage.")]


def test_a_users_table_that_is_gone_is_named(db: Connection, settings: Settings) -> None:
    if engine(db) == "sqlite":
        db.execute("PRAGMA foreign_keys = OFF")
        change(db, "DROP TABLE users")
        names = "trigger billing_user_removed, trigger usage_user_removed, table users"
    else:
        change(db, "DROP TABLE users CASCADE")
        names = "table users"
    assert said(db, settings, "schema") == [("error", f"{GONE}{names}.")]
    status = get_status(db, NOW, settings)
    assert ", ".join(status.absent) == names
    assert status.counts is not None
    assert "users" not in status.counts


def test_what_the_driver_cannot_read_is_a_finding_and_the_other_checks_go_on(
    db: Connection, settings: Settings
) -> None:
    change(db, "ALTER TABLE billing_rejects RENAME COLUMN table_name TO about")
    [(level, sentence)] = said(db, settings, "rejects")
    assert level == "error"
    assert sentence.startswith("This cannot be looked at: ")
    assert "table_name" in sentence
    assert "\n" not in sentence
    assert said(db, settings, "statuses") == [("ok", "Every subscription's status is known.")]


def test_another_programs_table_of_migrations_is_a_finding(empty_url: str) -> None:
    db = billing_db.connect(empty_url)
    change(db, "CREATE TABLE billing_migrations (id INTEGER)")
    [finding] = examine_database(db, NOW, read_settings({"TURF_SAAS_DB": empty_url}))
    assert finding.level == "error"
    assert "billing_migrations that is not ours" in finding.message
    db.close()


def test_a_beginning_that_cannot_be_read_is_a_warning(db: Connection, settings: Settings, alice: Person) -> None:
    alice.is_on("pro", effective_at="2026-05-01 08:00:00")
    assert said(db, settings, "instants") == [("ok", "Every subscription's beginning can be read.")]
    change(db, "UPDATE saas_subscriptions SET effective_at = 'next week'")
    told = "1 subscriptions have an effective_at or a current_period_end that cannot be read."
    assert said(db, settings, "instants") == [("warning", told)]


# -- who is calling ------------------------------------------------------------------------------------


def of_the_secret(make_app: Callable[..., Flask], **config: Any) -> list[str]:
    told = make_app(**config).test_cli_runner().invoke(args=["billing", "doctor", "--json"])
    return [found["message"] for found in json.loads(told.stdout)["findings"] if found["check"] == "secret"]


def test_an_app_that_knows_nobody_is_told_that_jwts_are_not_accepted(make_app: Callable[..., Flask]) -> None:
    [sentence] = of_the_secret(make_app, JWT_SECRET_KEY=None)
    assert sentence.startswith("JWTs are not accepted: JWT_SECRET_KEY is not set")
    assert of_the_secret(make_app) == []
    assert of_the_secret(make_app, JWT_SECRET_KEY=None, BILLING_USER_LOADER=lambda: 1) == []


def test_a_metric_that_no_plan_knows_is_named(db: Connection, alice: Person, settings: Settings) -> None:
    alice.has_used(5, "tokenz")
    told = {finding.check: finding for finding in examine_database(db, NOW, settings)}["metrics"]
    assert (told.level, "tokenz (1)" in told.message) == ("warning", True)

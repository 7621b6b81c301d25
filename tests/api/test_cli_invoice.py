"""`flask billing invoice`: what is over is issued; exit 1 when somebody's invoice has to wait."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from api_v1.blueprint import billing_bp
from billing_db import Connection, fetch_all
from tests.api.invoicing import Office, at, begin
from tests.cast import SECRET, Cast
from turf_saas import profiles
from turf_saas.buyer import Buyer
from turf_saas.demo import SELLER

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(make_app: Callable[..., Flask]) -> Run:
    def run(*words: str, **config: Any) -> tuple[int, str, str]:
        app = make_app(**{**SELLER, "BILLING_LOCALE": "en", **config})
        result = app.test_cli_runner().invoke(billing_bp.cli, ["invoice", *words])
        assert "Traceback" not in result.output
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout, result.stderr

    return run


@pytest.fixture
def july(client: Any, db: Connection, people: Cast) -> Connection:
    """It is 1 July: Alice and Charlie of another tenant have a fee of June, Bob some use that costs nothing."""
    begin(db, people.alice, "premium", 6)
    begin(db, people.charlie, "pro", 6)
    people.bob.has_used(100, day="2030-06-20")
    Office(client, db).it_is(7, 1)
    return db


def issued(db: Connection) -> list[tuple[int, str]]:
    rows = fetch_all(db, "SELECT user_id, invoice_number FROM invoices ORDER BY id")
    return [(row["user_id"], row["invoice_number"]) for row in rows]


def test_what_is_due_is_issued_in_every_tenant_once(run: Run, july: Connection) -> None:
    would = "would issue 2, 0 were there, 1 had nothing to bill\n"
    assert run("--due", "--dry-run") == (0, would, "")
    assert issued(july) == []
    assert run("--due") == (0, "issued 2, 0 were there, 1 had nothing to bill\n", "")
    assert issued(july) == [(1, "FACT-203007-0001"), (3, "FACT-203007-0001")]
    assert run("--due")[:2] == (0, "issued 0, 2 were there, 0 had nothing to bill\n")
    told = json.loads(run("--period", "2030-06", "--json")[1])
    assert told == {"dry_run": False, "issued": 0, "existing": 2, "skipped": 0, "failed": []}


def test_one_tenant_or_one_user_alone(run: Run, july: Connection) -> None:
    assert run("--due", "--tenant", "2")[1] == "issued 1, 0 were there, 0 had nothing to bill\n"
    assert issued(july) == [(3, "FACT-203007-0001")]
    assert run("--due", "--user", "2")[1] == "issued 0, 0 were there, 1 had nothing to bill\n"
    assert run("--period", "2030-06", "--user", "1", "--tenant", "1")[1].startswith("issued 1, 0 were there")
    assert run("--period", "2030-06", "--user", "1")[1] == "issued 0, 1 were there, 0 had nothing to bill\n"
    assert issued(july) == [(3, "FACT-203007-0001"), (1, "FACT-203007-0001")]


def test_who_fails_is_named_and_the_exit_code_is_1(run: Run, july: Connection, people: Cast) -> None:
    profiles.set_profile(july, at(6, 2), people.alice.id, 1, Buyer("consumer", country="GP"))
    sentence = "The VAT of a seller in FR for a buyer in GP is not known here: Billing(app, tax=…)."
    for words, did in ((("--dry-run",), "would issue"), ((), "issued")):
        code, out, err = run("--due", *words)
        told = f"user 1 2030-06: {sentence}\n{did} 1, 0 were there, 1 had nothing to bill\n1 wait for the next run\n"
        assert (code, out, err) == (1, told, "")
    code, out, _ = run("--due", "--json")
    failed = {"user_id": 1, "month": "2030-06", "code": "tax_undecided", "error": sentence}
    assert (code, json.loads(out)["failed"]) == (1, [failed])


def test_a_series_may_go_on_from_another_programs_number(run: Run, july: Connection) -> None:
    said = "the series 203007 of tenant 1 {} with 412\n"
    assert run("--next-number", "412", "--dry-run") == (0, said.format("would begin"), "")
    assert run("--next-number", "412") == (0, said.format("begins"), "")
    assert run("--due", "--tenant", "1")[0] == 0
    assert issued(july) == [(1, "FACT-203007-0412")]
    again = "Error: The series 203007 has begun: its first number does not change any more.\n"
    assert run("--next-number", "500") == (1, "", again)
    told = json.loads(run("--next-number", "7", "--tenant", "2", "--json")[1])
    assert told == {"dry_run": False, "tenant_id": 2, "series": "203007", "first_number": 7}


REFUSED = {
    (): (2, "one of --due, --period and --next-number"),
    ("--due", "--period", "2030-06"): (2, "one of --due, --period and --next-number"),
    ("--next-number", "1", "--user", "1"): (2, "--user says nothing here"),
    ("--next-number", "0"): (2, "--next-number"),
    ("--next-number", "1000000000001"): (1, "from 1 to 1000000000000"),
    ("--period", "2030-13"): (1, "YYYY-MM"),
    ("--period", "2030-07"): (1, "it closes at 2030-08-01T00:00:00Z"),
    ("--due", "--tenant", "3"): (1, "Tenant not found"),
    ("--due", "--tenant", "2", "--user", "1"): (1, "User not found"),
    ("--due", "--user", "nobody@example.com"): (1, "User not found"),
}


def test_what_cannot_be_done_is_one_sentence(run: Run, july: Connection) -> None:
    for words, (code, sentence) in REFUSED.items():
        refused = run(*words)
        assert (refused[0], refused[1]) == (code, ""), words
        assert sentence in refused[2]
        assert code == 2 or refused[2].count("\n") == 1
    assert issued(july) == []


def test_without_a_seller_nothing_is_issued(run: Run, july: Connection) -> None:
    code, out, err = run("--due", BILLING_SELLER_ZIP="")
    assert (code, out, err) == (1, "", "Error: The seller is incomplete: set BILLING_SELLER_ZIP.\n")


def test_a_terminal_sees_how_far_it_is(july: Connection, url: str) -> None:
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "flask", "--app", "wsgi", "billing", "invoice", "--due", "--tenant", "1"]
    env = {**os.environ, "TURF_SAAS_DB": url, "JWT_SECRET_KEY": SECRET, "BILLING_ENV": "development"}
    done = subprocess.run(words, env=env, stderr=theirs, stdout=subprocess.PIPE, timeout=60, check=False)
    os.close(theirs)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    assert (done.returncode, done.stdout) == (0, b"issued 1, 0 were there, 1 had nothing to bill\n"), shown
    assert f"issuing [{'#' * 25}] 100 %" in shown

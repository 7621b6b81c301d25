"""`GET /invoices/<number>/explain` and `flask billing explain`: how an invoice came about, to whom it concerns."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api_v1.blueprint import billing_bp
from billing_db import Connection
from tests.billed import at, bill
from tests.cast import Cast
from turf_saas.clock import set_clock
from turf_saas.demo import SELLER
from turf_saas.settings import read_settings

PATH = "/api/v1/billing/invoices/{}/explain"
NUMBER = "FACT-202605-0001"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def billed(db: Connection, people: Cast) -> Cast:
    bill(db, people)
    settings = read_settings({"TURF_SAAS_DB": "unused", "BILLING_ENV": "testing"})
    set_clock(db, at(6, 20), settings, at(6, 20))
    return people


@pytest.fixture
def run(make_app: Callable[..., Flask]) -> Run:
    def run(*words: str) -> tuple[int, str, str]:
        app = make_app(**SELLER)
        result = app.test_cli_runner().invoke(billing_bp.cli, ["explain", *words])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout, result.stderr

    return run


def test_a_user_is_told_how_his_invoice_came_about_in_its_language(client: FlaskClient, billed: Cast) -> None:
    reply = client.get(PATH.format(NUMBER), headers={**billed.alice.headers, "Accept-Language": "fr"})
    assert reply.status_code == 200
    body: Any = reply.json
    assert (body["number"], body["locale"], body["amount_cents"], body["recomputed_cents"]) == (
        NUMBER,
        "en",
        5_730,
        5_730,
    )
    assert body["text"].endswith("Net 47.75 + VAT 9.55 = 57.30 EUR\n")
    reports = body["lines"][4]
    assert reports["days"] == {"2026-04-20": 250}
    assert reports["steps"] == [
        {
            "above": 0,
            "up_to": None,
            "quantity": 3,
            "unit_amount": "5.00",
            "flat_cents": 0,
            "size": 100,
            "amount": "15.00",
        }
    ]
    assert reports["last_event"]["quantity"] == 250
    french: Any = client.get(PATH.format(NUMBER) + "?locale=fr", headers=billed.ada.headers).json
    assert (french["locale"], french["text"][:7]) == ("fr", "Facture")
    assert french["lines"][0]["description"] == "Abonnement Ten"
    other = client.get(PATH.format(NUMBER) + "?locale=de", headers=billed.ada.headers)
    assert (other.status_code, other.json["errors"][0]["loc"]) == (422, "/locale")


def test_anybody_else_is_told_what_he_is_told_of_a_missing_one(client: FlaskClient, billed: Cast) -> None:
    missing = client.get(PATH.format("FACT-202605-0099"), headers=billed.bob.headers)
    assert missing.status_code == 404
    reply = client.get(PATH.format(NUMBER), headers=billed.bob.headers)
    assert (reply.status_code, reply.data) == (404, missing.data)
    charlies = client.get(PATH.format(NUMBER), headers=billed.charlie.headers)  # his own has the same number
    assert charlies.json["amount_cents"] == 1_200
    only_alices = client.get(PATH.format("FACT-202606-0002"), headers=billed.dora.headers)
    assert (only_alices.status_code, only_alices.data) == (404, missing.data)


def test_at_the_prompt_a_month_is_explained_as_invoice_or_as_draft(run: Run, billed: Cast) -> None:
    code, out, err = run("1", "2026-04", "--locale", "en")
    assert (code, out.splitlines()[0], err) == (
        0,
        f"Invoice {NUMBER} of 2026-05-01, month 2026-04, amounts in EUR.",
        "",
    )
    assert run("1", "2026-04") == (code, out, err), "its own language without any other"
    assert run("1", "2026-04", "--locale", "fr")[1].startswith("Facture ")
    draft = json.loads(run("1", "2026-06", "--json")[1])
    assert (draft["number"], draft["amount_cents"], draft["recomputed_cents"]) == (None, 3_000, 3_000)
    assert draft["text"].startswith("Projet de facture du mois 2026-06")
    assert run("1", "2026-13") == (1, "", "Error: Format mois invalide. Utiliser YYYY-MM\n")
    assert run("1", "2026-07") == (
        1,
        "",
        "Error: Le mois 2026-07 n'a pas commencé : le dernier qui s'explique est 2026-06.\n",
    )
    assert run("999", "2026-04")[0] == 1
    assert run("1")[0] == 2

"""`POST /webhooks/stripe` over HTTP: what is taken, what is refused, and that a refusal leaves nothing."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask, request
from flask.testing import FlaskClient
from flask_jwt_extended import JWTManager
from stripe import WebhookSignature
from werkzeug.test import TestResponse

import billing_db
from api_v1.routes.stripe_webhook import REFUSED_AT, TOLD_EVERY
from billing_db import Connection, fetch_all
from tests.scenarios.serving import AnotherProgram
from tests.stripe import SECRET, signed
from tests.stripe_payloads import SHAPES, Shape, event, invoice
from turf_saas.settings import DEAF_TO_STRIPE
from turf_saas.stripe_gateway import is_signed

WEBHOOK = "/api/v1/billing/webhooks/stripe"
CAP = 256 * 1024
MakeApp = Callable[..., Flask]
NOW = datetime(2026, 5, 20, 10, 0, tzinfo=UTC)
SECONDS = int(NOW.timestamp())


@pytest.fixture
def taking(make_app: MakeApp) -> FlaskClient:
    return make_app(STRIPE_WEBHOOK_SECRET=SECRET, BILLING_LOCALE="en").test_client()


def post(client: FlaskClient, body: bytes, header: str | None, path: str = WEBHOOK, **options: Any) -> TestResponse:
    headers = {"Content-Type": "application/json; charset=utf-8", **options.pop("headers", {})}
    return client.post(
        path, data=body, headers=headers | ({"Stripe-Signature": header} if header is not None else {}), **options
    )


def stored(db: Connection) -> int:
    return len(fetch_all(db, "SELECT id FROM billing_events"))


def told(**changed: Any) -> dict[str, Any]:
    return event("of.no.interest", {"id": "x"}, **changed)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("path", [WEBHOOK, "/api/v1/billing/webhooks/payment"])
def test_an_event_is_taken_and_a_second_time_it_is_a_duplicate(
    taking: FlaskClient, db: Connection, shape: Shape, path: str
) -> None:
    body, header = signed(event("invoice.paid", invoice(status="paid", shape=shape), shape=shape))
    replies = [post(taking, body, header, path) for _ in range(2)]
    assert [(reply.status_code, reply.json) for reply in replies] == [
        (200, {"status": "ok", "result": "ignored"}), (200, {"status": "ok", "result": "duplicate"})]  # fmt: skip
    assert stored(db) == 1


def _signatures(body: bytes) -> dict[str, str | None]:
    """What stands where a signature should: none of them is one."""
    good = signed(body)[1]
    stamp, _, signature = good.partition(",")
    old = int(datetime.now(UTC).timestamp()) - 3_600
    spelt = f"{old:_}"  # as Python reads a number, and Stripe writes none
    return {
        "none": None,
        "empty": "",
        "garbage": "garbage",
        "another scheme": good.replace("v1=", "v0="),
        "a space": ", ".join(good.split(",")),
        "no time": signature,
        "no signature": stamp,
        "not ASCII": f"{stamp},v1=\xe9",
        "another secret": signed(body, "whsec_other")[1],
        "an old one": signed(body, timestamp=old)[1],
        "one of tomorrow": signed(body, timestamp=old + 90_000)[1],
        "of another body": signed(body + b" ")[1],
        "an old one, and a time of now": f"{signed(body, timestamp=old)[1]},{stamp}",
        "the same the other way round": f"{stamp},{signed(body, timestamp=old)[1]}",
        "an old one, spelt otherwise": f"{signed(body, timestamp=old)[1].replace(str(old), spelt)},{stamp}",
        "a time without end": "t=" + "9" * 5_000 + f",{signature}",
    }


def test_a_bad_signature_is_refused_before_the_database_is_asked_and_told_once_a_minute_without_it(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = make_app(STRIPE_WEBHOOK_SECRET=SECRET, TURF_SAAS_DB="/nowhere/at/all.db", BILLING_LOCALE="en")
    body = json.dumps(told()).encode()
    for name, header in _signatures(body).items():
        reply = post(nowhere.test_client(), body, header)
        assert (reply.status_code, reply.json) == (
            400, {"error": "This request is not signed by Stripe, or is too old.", "code": "stripe_signature_invalid"},
        ), name  # fmt: skip
    (said,) = caplog.records  # of all of them, which came within a minute
    assert (said.levelno, said.getMessage()) == (
        logging.WARNING, "billing: webhook refused: its signature fits no secret of STRIPE_WEBHOOK_SECRET",
    )  # fmt: skip
    nowhere.extensions[REFUSED_AT] -= TOLD_EVERY
    post(nowhere.test_client(), body, None)
    assert len(caplog.records) == 2


BODIES = {
    "nothing": b"",
    "a list": b"[]",
    "null": b"null",
    "a number": b"1",
    "an empty object": b"{}",
    "no object": json.dumps({**told(), "data": {}}).encode(),
    "no type": json.dumps(told(type=None)).encode(),
    "no id": json.dumps(told(id=None)).encode(),
    "half of it": b'{"id": "evt_1",',
    "deep": b"[" * 100_000,
    "deep in the object": b'{"id": "e", "type": "t", "created": 1, "data": {"object": ' + b"[" * 100_000,
    "a thin event": json.dumps({"id": "evt_1", "object": "v2.core.event", "type": "v1.billing.meter.no_meter_found",
                                "created": "2026-05-20T09:00:00Z"}).encode(),
}  # fmt: skip


def test_what_is_signed_and_no_event_is_refused_and_not_stored(taking: FlaskClient, db: Connection) -> None:
    for name, body in BODIES.items():
        reply = post(taking, *signed(body))
        assert (reply.status_code, reply.json["code"]) == (400, "stripe_event_invalid"), name
    latin = "é".encode("latin-1")
    stamp = int(datetime.now(UTC).timestamp())
    assert post(taking, latin, f"t={stamp},v1={'0' * 64}").json["code"] == "stripe_signature_invalid"
    assert stored(db) == 0


@pytest.mark.parametrize(("bytes_", "status"), [(CAP - 1, 200), (CAP, 200), (CAP + 1, 413)])
def test_a_body_is_as_long_as_the_cap_at_most(taking: FlaskClient, db: Connection, bytes_: int, status: int) -> None:
    body = json.dumps(told()).encode()
    reply = post(taking, *signed(body + b" " * (bytes_ - len(body))))
    assert (reply.status_code, stored(db)) == (status, int(status == 200))


@pytest.mark.parametrize("direction", [-1, 1])
def test_a_signature_is_as_old_or_as_far_ahead_as_is_tolerated_at_most(direction: int) -> None:
    def taken(seconds: int, tolerance: int) -> bool:
        body, header = signed(told(), timestamp=SECONDS + direction * seconds)
        return is_signed(body, header, [SECRET], NOW, tolerance=tolerance)

    assert [taken(seconds, 300) for seconds in (299, 300, 301)] == [True, True, False]
    assert [taken(seconds, 1) for seconds in (0, 1, 2)] == [True, True, False]
    body, header = signed(told(), timestamp=SECONDS)
    assert is_signed(body, header, [SECRET], NOW + timedelta(seconds=300), tolerance=300)


def test_while_the_secret_is_changed_both_are_good_and_afterwards_the_new_one_alone(make_app: MakeApp) -> None:
    both = make_app(STRIPE_WEBHOOK_SECRET="whsec_old, whsec_new").test_client()
    assert [post(both, *signed(told(), secret)).status_code for secret in ("whsec_old", "whsec_new", "whsec")] == [
        200, 200, 400]  # fmt: skip
    new = make_app(STRIPE_WEBHOOK_SECRET="whsec_new").test_client()
    body, old = signed(told(), "whsec_old")
    signature = signed(body, "whsec_new")[1].partition(",")[2]
    assert [post(new, body, header).status_code for header in (old, f"{old},{signature}")] == [400, 200]


def test_without_a_secret_nothing_is_taken_and_the_log_says_so_where_a_key_is_set(
    make_app: MakeApp, db: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(STRIPE_SECRET_KEY="sk_test_1", BILLING_LOCALE="en")
    reply = post(app.test_client(), *signed(told()))
    assert (reply.status_code, reply.json["code"], stored(db)) == (503, "stripe_not_configured", 0)
    said = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert said == [f"billing: {DEAF_TO_STRIPE}"]


def test_no_login_no_cookie_no_origin_and_no_media_type_stand_in_the_way(make_app: MakeApp, db: Connection) -> None:
    """A host that reads each body as JSON before us, with the bytes kept, and has logins for the rest of its site."""
    app = make_app(STRIPE_WEBHOOK_SECRET=SECRET, JWT_TOKEN_LOCATION=["headers", "cookies"])
    JWTManager(app)
    app.before_request(lambda: request.get_json(silent=True) and None)
    client = app.test_client()
    client.set_cookie("access_token_cookie", "nonsense")
    odd = {"Origin": "https://elsewhere.example", "Sec-Fetch-Site": "cross-site", "Authorization": "Bearer nonsense"}
    body, header = signed(told())
    assert post(client, b"  " + body, signed(b"  " + body)[1], headers=odd).status_code == 200
    assert post(client, body, header, headers={"Content-Type": "text/plain"}).json["result"] == "duplicate"
    assert client.get(WEBHOOK).status_code == 405
    assert stored(db) == 1


def test_while_another_writes_the_answer_is_503_and_nothing_is_stored(
    taking: FlaskClient, url: str, engine: str, db: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert post(taking, *signed(told())).status_code == 200
    billing_db.close_db()
    monkeypatch.setattr(billing_db, "BUSY_SECONDS", 0.05)
    body, header = signed(told())
    held = ["BEGIN", "LOCK TABLE billing_events"] if engine == "postgresql" else ["BEGIN IMMEDIATE"]
    with AnotherProgram(url, *held):
        reply = post(taking, body, header)
    assert (reply.status_code, reply.json["code"], reply.headers["Retry-After"]) == (503, "database_busy", "1")
    assert stored(db) == 1
    assert post(taking, body, header).json["result"] == "ignored", "it comes again, and is no duplicate"


def test_nothing_secret_is_in_the_rows_or_in_the_log(
    taking: FlaskClient, db: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    body, header = signed(event("invoice.paid", {"id": "in_1", "livemode": 1}))
    signature = header.rpartition("=")[2]
    for given in (header, header.replace("v1=", "v1=0")):
        post(taking, body, given)
    rows = str([dict(row) for row in fetch_all(db, "SELECT * FROM billing_events")])
    for secret in (SECRET, signature):
        assert secret not in caplog.text
        assert secret not in rows


def test_the_sdk_signs_as_stripe_does() -> None:
    assert WebhookSignature.generate_signature_header("{}", "whsec_1", timestamp=1) == (
        "t=1,v1=f1ee2c2aeec54799513f774d06f9a665c3082cf76906ba81a8f7e543d31efaed")  # fmt: skip

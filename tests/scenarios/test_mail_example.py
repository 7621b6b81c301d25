"""examples/mail.py writes each mail once and sends it by a real socket, whatever is told twice or dies in between."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime
from email.header import decode_header, make_header
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from api_v1 import Billing, signals
from api_v1.runtime import current_runtime
from examples import mail as example
from tests.issued import ISSUED_AT
from tests.smtp import REFUSED, MailServer, mail_server
from turf_saas import gateway_invoices
from turf_saas.clock import set_clock
from turf_saas.demo import SELLER
from turf_saas.invoices import Invoice
from turf_saas.payment_attempts import Attempt
from turf_saas.payments import Payment
from turf_saas.refund_rows import Refund
from turf_saas.settings import read_settings
from turf_saas.stripe_disputes import Dispute

NINA = 1  # whom the example enters
SETTINGS = read_settings({"TURF_SAAS_DB": "unused", "BILLING_ENV": "testing"})


@pytest.fixture
def server() -> Iterator[MailServer]:
    with mail_server() as started:
        yield started


@pytest.fixture
def app(tmp_path: Path, server: MailServer, monkeypatch: pytest.MonkeyPatch) -> Flask:
    given = {"MAIL_SERVER": server.address, "MAIL_FROM": "billing@example.com", "MAIL_OWNER": "owner@example.com"}
    settings = {**SELLER, "BILLING_ENV": "testing"}
    for name, value in {**given, **settings, "MAIL_USER": "", "MAIL_PASSWORD": ""}.items():
        monkeypatch.setenv(name, str(value))
    return example.create_app(tmp_path)


@pytest.fixture
def billing(app: Flask) -> Iterator[Billing]:
    """It is 20 May."""
    with app.app_context():
        at(5, 20)
        yield example.billing


def at(month: int, day: int) -> None:
    set_clock(
        current_runtime().db(), datetime(2026, 5, 1, tzinfo=UTC), SETTINGS, datetime(2030, month, day, 10, tzinfo=UTC)
    )


def enter(app: Flask, email: str, language: str) -> int:
    with example.database(app) as db:
        [(key,)] = db.execute(
            "INSERT INTO users (email, language) VALUES (?, ?) RETURNING id", (email, language)
        ).fetchall()
    return int(key)


def bill(billing: Billing, *users: int) -> list[Invoice]:
    """An invoice of 48.00 + 9.60 each."""
    for user in users:
        billing.add_invoice_item(user, "Setup", 1, "48")
    at(6, 2)
    issued = [billing.generate_monthly_invoice(user, "2030-05") for user in users]
    return [one for one in issued if one is not None]


def read(mail: Message) -> tuple[str, str, str]:
    """To whom, its subject, and the sentence after the greeting."""
    body = mail.get_payload(decode=True)
    assert isinstance(body, bytes)
    return mail["To"], str(make_header(decode_header(mail["Subject"]))), body.decode().splitlines()[2]


def waiting(app: Flask) -> int:
    with example.database(app) as db:
        [(many,)] = db.execute("SELECT COUNT(*) FROM mails WHERE sent_at IS NULL AND refused IS NULL").fetchall()
    return int(many)


def test_each_reads_of_his_invoice_in_his_language_once(app: Flask, billing: Billing, server: MailServer) -> None:
    tom = enter(app, "tom@example.com", "en")
    hers, his = bill(billing, NINA, tom)
    billing.record_payment(his.number, 5_760)
    billing.credit_note(hers.number, 1_200)
    assert example.send_waiting(app) == 4
    assert example.send_waiting(app) == 0
    assert sorted(map(read, server.taken)) == [
        (
            "nina@example.com",
            "Votre avoir FACT-203006-0003",
            f"un avoir de 12,00 EUR (FACT-203006-0003) corrige votre facture {hers.number}.",
        ),
        (
            "nina@example.com",
            "Votre facture FACT-203006-0001",
            "votre facture FACT-203006-0001 de 57,60 EUR est à régler avant le 02/07/2030.",
        ),
        (
            "tom@example.com",
            "Invoice FACT-203006-0002 is paid",
            "your invoice FACT-203006-0002 of 57.60 EUR is paid. Thank you.",
        ),
        (
            "tom@example.com",
            "Your invoice FACT-203006-0002",
            "your invoice FACT-203006-0002 of 57.60 EUR is due on 2030-07-02.",
        ),
    ]


def made(kind: Any, **given: Any) -> Any:
    """A record of the domain, of which only these fields matter."""
    return kind(**{field.name: given.get(field.name) for field in fields(kind)})


PAYMENT = made(Payment, id=3, user_id=NINA, amount_cents=5_760, currency="EUR")
REFUND = made(Refund, id=4, user_id=NINA, amount_cents=1_200, currency="EUR")
DISPUTE = made(Dispute, id=5, reason="fraudulent", status="lost", evidence_due_at="2030-06-01T00:00:00Z")


@pytest.mark.parametrize(
    ("signal", "about", "to", "said"),
    [
        (signals.payment_refunded, {"refund": REFUND}, "nina@", "nous vous remboursons 12,00 EUR ; comptez"),
        (signals.refund_failed, {"refund": REFUND}, "nina@", "12,00 EUR n'ont pas pu vous être remboursés"),
        (
            signals.payment_disputed,
            {"dispute": DISPUTE},
            "owner@",
            "de 57,60 EUR (fraudulent). Répondez dans Stripe avant le 01/06/2030.",
        ),
        (signals.dispute_closed, {"dispute": DISPUTE}, "owner@", "sur le paiement de 57,60 EUR est clos : perdu."),
    ],
    ids=lambda one: getattr(one, "name", ""),
)
def test_refunds_are_mailed_to_the_user_and_disputes_to_the_owner(
    app: Flask, server: MailServer, signal: Any, about: dict[str, Any], to: str, said: str
) -> None:
    signals.send(app, signal, payment=PAYMENT, **about)
    signals.send(app, signal, payment=PAYMENT, **about)
    example.send_waiting(app)
    [(recipient, _, sentence)] = map(read, server.taken)
    assert recipient.startswith(to)
    assert said in sentence


def test_each_failed_try_is_mailed_with_the_page_to_pay_on(app: Flask, billing: Billing, server: MailServer) -> None:
    [invoice] = bill(billing, NINA)
    open_one = replace(invoice, payment_url="https://invoice.stripe.com/i/1")
    for number, signal in (
        (1, signals.payment_failed),
        (2, signals.payment_failed),
        (3, signals.payment_action_required),
    ):
        signals.send(app, signal, invoice=open_one, attempt=made(Attempt, id=number))
    example.send_waiting(app)
    told = sorted(sentence for _, _, sentence in map(read, server.taken))
    failed = f"le paiement de la facture {invoice.number} (57,60 EUR) a été refusé. Pour la régler : "
    assert told == [
        *[f"{failed}https://invoice.stripe.com/i/1"] * 2,
        f"votre banque demande une confirmation pour la facture {invoice.number} : https://invoice.stripe.com/i/1",
        f"votre facture {invoice.number} de 57,60 EUR est à régler avant le 02/07/2030.",
    ]


def test_nobody_is_asked_to_pay_what_a_gateway_collects_by_itself(
    app: Flask, tmp_path: Path, server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of four that are issued one is paid, one was refused, one waits for its payer, one is not there yet."""
    monkeypatch.setenv("STRIPE_SECRET_KEY", "sk_test_of_nobody")
    app = example.create_app(tmp_path / "collected")
    with app.app_context():
        at(5, 20)
        ask_only_whom_it_concerns(app, example.billing, server)


def ask_only_whom_it_concerns(app: Flask, billing: Billing, server: MailServer) -> None:
    users = [enter(app, f"{name}@example.com", "fr") for name in ("paid", "refused", "open", "late")]
    paid, refused, waits, _late = bill(billing, *users)
    assert example.send_waiting(app) == 0
    billing.record_payment(paid.number, 5_760)
    signals.send(app, signals.payment_failed, invoice=refused, attempt=made(Attempt, id=1))
    db = current_runtime().db()
    assert gateway_invoices.move(db, ISSUED_AT, waits.id, "open", seen=("waiting",), hosted_url="https://pay.example/3")
    with example.database(app) as mails:
        mails.execute("UPDATE mails SET due_at = 0")
    assert example.send_waiting(app) == 3
    assert [(mail[0], mail[2]) for mail in sorted(map(read, server.taken))] == [
        (
            "open@example.com",
            f"votre facture {waits.number} de 57,60 EUR est à régler avant le 02/07/2030 : https://pay.example/3.",
        ),
        ("paid@example.com", f"votre facture {paid.number} de 57,60 EUR est payée. Merci."),
        (
            "refused@example.com",
            f"le paiement de la facture {refused.number} (57,60 EUR) a été refusé. Pour la régler : -",
        ),
    ]
    assert waiting(app) == 1


def test_without_a_server_a_mail_is_printed_to_be_read(
    app: Flask, billing: Billing, capsys: pytest.CaptureFixture[str]
) -> None:
    [invoice] = bill(billing, NINA)
    app.config["MAIL_SERVER"] = ""
    assert example.send_waiting(app) == 1
    said = f"votre facture {invoice.number} de 57,60 EUR est à régler avant le 02/07/2030."
    assert capsys.readouterr().out == (
        f"To: nina@example.com\nSubject: Votre facture {invoice.number}\n\nBonjour,\n\n{said}\n\n"
    )


def test_what_does_not_add_up_is_mailed_to_the_owner_once(app: Flask, server: MailServer) -> None:
    for _ in range(2):
        signals.send(app, signals.payment_mismatch, reason="FACT-1: 5 cents", event=None, invoice=None)
    signals.send(app, signals.payment_mismatch, reason="FACT-2: 7 cents", event=None, invoice=None)
    example.send_waiting(app)
    assert {recipient for recipient, _, _ in map(read, server.taken)} == {"owner@example.com"}
    assert len(server.taken) == 2


def test_what_is_told_twice_is_one_mail(app: Flask, billing: Billing, server: MailServer) -> None:
    [invoice] = bill(billing, NINA)
    for _ in range(2):
        signals.send(app, signals.invoice_issued, invoice=invoice)
        signals.send(app, signals.invoice_paid, invoice=invoice, payment=None)
    example.send_waiting(app)
    assert len(server.taken) == 2


def test_what_is_of_another_app_is_not_ours(app: Flask, billing: Billing) -> None:
    [invoice] = bill(billing, NINA)
    before = waiting(app)
    signals.send(Flask("another"), signals.invoice_paid, invoice=invoice, payment=None)
    assert waiting(app) == before


def test_mails_wait_for_a_server_that_is_down(app: Flask, billing: Billing, server: MailServer) -> None:
    bill(billing, NINA)
    address, app.config["MAIL_SERVER"] = app.config["MAIL_SERVER"], "127.0.0.1:1"
    result = app.test_cli_runner().invoke(args=["send-mails"])
    assert (result.exit_code, waiting(app)) == (1, 1)
    app.config["MAIL_SERVER"] = address
    result = app.test_cli_runner().invoke(args=["send-mails"])
    assert (result.exit_code, result.output, len(server.taken)) == (0, "1 mails sent\n", 1)


def test_an_address_that_is_refused_stops_no_other(app: Flask, billing: Billing, server: MailServer) -> None:
    nobody, tom = enter(app, REFUSED, "en"), enter(app, "tom@example.com", "en")
    bill(billing, nobody, tom)
    assert example.send_waiting(app) == 1
    assert [mail["To"] for mail in server.taken] == ["tom@example.com"]
    assert waiting(app) == 0


def test_a_mail_whose_answer_was_lost_goes_out_again_under_the_same_id(
    app: Flask, billing: Billing, server: MailServer
) -> None:
    bill(billing, NINA)
    server.hangs_up_after_data = True
    with pytest.raises((OSError, smtplib.SMTPException)):
        example.send_waiting(app)
    assert waiting(app) == 1
    server.hangs_up_after_data = False
    assert example.send_waiting(app) == 1
    assert len({mail["Message-ID"] for mail in server.taken}) == 1


def test_of_two_senders_one_has_the_mail(app: Flask, billing: Billing) -> None:
    bill(billing, NINA)
    first = example.claim(app)
    assert first is not None
    assert example.claim(app) is None

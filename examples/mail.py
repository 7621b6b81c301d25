"""An app that writes to its users when there is something to say about money, in French or in English.

    flask --app examples.mail run

and, by cron every minute or in another terminal, what sends the mails that are waiting:

    flask --app examples.mail send-mails --every 5

MAIL_SERVER=smtp.example.com:587 (with MAIL_USER and MAIL_PASSWORD where it asks for them) sends them; without it they
are printed. MAIL_FROM is who writes, MAIL_OWNER who hears of disputes and of what does not add up.

A signal tells once, a mail server may not answer, and a process may die in between. So a receiver only writes the mail
down, under a key that says what it is about: whatever is told twice is one row, and one mail. Sending is the other
half, and may be repeated. A mail whose server died after taking it may go out again: its Message-ID is the same.

Nobody is asked to pay what a card pays by itself. Where a gateway collects, "please pay" waits for two hours: by then
it is paid, or has failed, and another mail has said so; else it goes out, with the page to pay on.

The data is made in `instance/`, or in the folder that EXAMPLE_FOLDER names.
"""

from __future__ import annotations

import hashlib
import os
import smtplib
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import click
from flask import Flask, current_app

from api_v1 import Billing, signals
from turf_saas.money import from_cents

TRIED_AGAIN_AFTER = 600  # seconds: so long a mail is left to whoever has claimed it
SECONDS_FOR_THE_SERVER = 10
LOOKED_AT_AFTER = 7200  # seconds: so long a gateway has to collect what was issued

TEXTS = {
    "invoice_issued": {
        "fr": ("Votre facture {number}", "votre facture {number} de {amount} est à régler avant le {due_on}{at}."),
        "en": ("Your invoice {number}", "your invoice {number} of {amount} is due on {due_on}{at}."),
    },
    "credit_note_issued": {
        "fr": ("Votre avoir {number}", "un avoir de {amount} ({number}) corrige votre facture {credited_number}."),
        "en": (
            "Your credit note {number}",
            "a credit note of {amount} ({number}) corrects your invoice {credited_number}.",
        ),
    },
    "invoice_paid": {
        "fr": ("Facture {number} payée", "votre facture {number} de {amount} est payée. Merci."),
        "en": ("Invoice {number} is paid", "your invoice {number} of {amount} is paid. Thank you."),
    },
    "payment_failed": {
        "fr": ("Paiement refusé", "le paiement de la facture {number} ({due}) a été refusé. Pour la régler : {link}"),
        "en": ("Your payment was declined", "the payment of invoice {number} ({due}) was declined. To pay it: {link}"),
    },
    "payment_action_required": {
        "fr": ("Confirmez votre paiement", "votre banque demande une confirmation pour la facture {number} : {link}"),
        "en": ("Confirm your payment", "your bank asks you to confirm the payment of invoice {number}: {link}"),
    },
    "payment_refunded": {
        "fr": ("Remboursement de {refund}", "nous vous remboursons {refund} ; comptez quelques jours."),
        "en": ("A refund of {refund}", "we refund {refund} to you; it takes some days."),
    },
    "refund_failed": {
        "fr": (
            "Remboursement impossible",
            "{refund} n'ont pas pu vous être remboursés : c'est de nouveau votre avoir.",
        ),
        "en": ("Your refund failed", "{refund} could not be paid back: it is your credit with us again."),
    },
    "payment_disputed": {
        "fr": (
            "Litige sur {payment}",
            "un client conteste son paiement de {payment} ({reason}). Répondez dans Stripe{until}.",
        ),
        "en": (
            "Dispute of {payment}",
            "a customer disputes a payment of {payment} ({reason}). Answer it in Stripe{until}.",
        ),
    },
    "dispute_closed": {
        "fr": ("Litige clos : {status}", "le litige sur le paiement de {payment} est clos : {status}."),
        "en": ("Dispute closed: {status}", "the dispute of the payment of {payment} is closed: {status}."),
    },
    "payment_mismatch": {
        "fr": ("À vérifier dans Stripe", "ce que Stripe annonce ne correspond pas à nos livres : {reason}"),
        "en": ("Look at this in Stripe", "what Stripe tells does not fit our books: {reason}"),
    },
}
ENDS = {
    "won": "gagné",
    "lost": "perdu",
    "warning_closed": "sans suite",
    "prevented": "évité",
}  # of a dispute, in French
GREETING = {"fr": "Bonjour,\n\n{}\n", "en": "Hello,\n\n{}\n"}

billing = Billing()


def create_app(folder: Path | None = None) -> Flask:
    folder = (folder or Path(os.environ.get("EXAMPLE_FOLDER", "instance"))).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    app = Flask("mail")
    for name in ("MAIL_SERVER", "MAIL_USER", "MAIL_PASSWORD", "MAIL_FROM", "MAIL_OWNER"):
        app.config[name] = os.environ.get(name, "")
    app.config["DATABASE"] = app.config["TURF_SAAS_DB"] = folder / "mail.db"
    create_tables(app.config["DATABASE"])
    billing.init_app(app)
    connect(app)
    app.cli.add_command(send_mails)
    return app


def create_tables(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(
            """CREATE TABLE IF NOT EXISTS users (
                   id INTEGER PRIMARY KEY, email TEXT NOT NULL UNIQUE, language TEXT NOT NULL DEFAULT 'fr')"""
        )
        db.execute("INSERT INTO users (email, language) VALUES ('nina@example.com', 'fr') ON CONFLICT DO NOTHING")
        db.execute(
            """CREATE TABLE IF NOT EXISTS mails (
                   key TEXT PRIMARY KEY, recipient TEXT NOT NULL, subject TEXT NOT NULL, body TEXT NOT NULL,
                   written_at REAL NOT NULL, due_at REAL NOT NULL, asks_for TEXT,
                   claimed_at REAL, sent_at REAL, refused TEXT)"""
        )


@contextmanager
def database(app: Flask) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(app.config["DATABASE"], timeout=5)) as db, db:
        db.row_factory = sqlite3.Row
        yield db


# -- what is told is written down ----------------------------------------------------------------------


def connect(app: Flask) -> None:
    signals.invoice_issued.connect(when_issued, app)
    signals.invoice_paid.connect(when_paid, app)
    signals.payment_failed.connect(when_failed, app)
    signals.payment_action_required.connect(when_to_be_confirmed, app)
    signals.payment_refunded.connect(when_refunded, app)
    signals.refund_failed.connect(when_a_refund_failed, app)
    signals.payment_disputed.connect(when_disputed, app)
    signals.dispute_closed.connect(when_a_dispute_is_closed, app)
    signals.payment_mismatch.connect(when_it_does_not_add_up, app)


def when_issued(app: Flask, invoice: Any) -> None:
    if invoice.kind == "credit_note":
        write_to_user(app, "credit_note_issued", invoice.id, invoice.user_id, invoice=invoice)
    elif invoice.due_cents and invoice.kind != "stripe":  # else it is paid, or Stripe charges a card: that is told
        wait = LOOKED_AT_AFTER if app.extensions["billing"].settings.collects else 0
        write_to_user(app, "invoice_issued", invoice.id, invoice.user_id, invoice=invoice, wait=wait)


def when_paid(app: Flask, invoice: Any, payment: Any) -> None:  # noqa: ARG001  as the signal gives it
    write_to_user(app, "invoice_paid", invoice.id, invoice.user_id, invoice=invoice)


def when_failed(app: Flask, invoice: Any, attempt: Any) -> None:
    drop_asking(app, invoice)
    write_to_user(app, "payment_failed", attempt.id, invoice.user_id, invoice=invoice)


def when_to_be_confirmed(app: Flask, invoice: Any, attempt: Any) -> None:
    drop_asking(app, invoice)
    write_to_user(app, "payment_action_required", attempt.id, invoice.user_id, invoice=invoice)


def drop_asking(app: Flask, invoice: Any) -> None:
    """What says that a card was tried says where to pay, too: "please pay" is not sent beside it."""
    with database(app) as db:
        db.execute(
            """UPDATE mails SET refused = 'another mail says so'
                WHERE key = ? AND asks_for IS NOT NULL AND sent_at IS NULL""",
            (f"invoice_issued:{invoice.id}",),
        )


def when_refunded(app: Flask, payment: Any, refund: Any) -> None:
    if refund is not None:  # else somebody has sent it by hand, and may have written himself
        write_to_user(app, "payment_refunded", refund.id, payment.user_id, refund=refund)


def when_a_refund_failed(app: Flask, payment: Any, refund: Any) -> None:
    write_to_user(app, "refund_failed", refund.id, payment.user_id, refund=refund)


def when_disputed(app: Flask, payment: Any, dispute: Any) -> None:
    write_to_owner(app, "payment_disputed", dispute.id, payment=payment, dispute=dispute)


def when_a_dispute_is_closed(app: Flask, payment: Any, dispute: Any) -> None:
    write_to_owner(app, "dispute_closed", dispute.id, payment=payment, dispute=dispute)


def when_it_does_not_add_up(app: Flask, event: Any, reason: str, invoice: Any) -> None:  # noqa: ARG001
    write_to_owner(app, "payment_mismatch", event.id if event is not None else reason, reason=reason)


def write_to_user(app: Flask, kind: str, about: int, user_id: Any, **facts: Any) -> None:
    with database(app) as db:
        user = db.execute("SELECT email, language FROM users WHERE id = ?", (user_id,)).fetchone()
    if user is not None:
        write(app, f"{kind}:{about}", user["email"], kind, user["language"], facts)


def write_to_owner(app: Flask, kind: str, about: int | str, **facts: Any) -> None:
    owner = app.config["MAIL_OWNER"] or app.config["MAIL_FROM"]
    if owner:
        write(app, f"{kind}:{about}", owner, kind, "fr", facts)


def write(app: Flask, key: str, recipient: str, kind: str, language: str, facts: dict[str, Any]) -> None:
    """The key is the table's: of two that write the same mail, in any process, one has written it."""
    subject, body = (text.format(**words_of(facts, language)) for text in TEXTS[kind][language])
    with database(app) as db:
        db.execute(
            """INSERT INTO mails (key, recipient, subject, body, written_at, due_at, asks_for)
               VALUES (:key, :recipient, :subject, :body, :now, :now + :wait, :asks_for) ON CONFLICT DO NOTHING""",
            {
                "key": key,
                "recipient": recipient,
                "subject": subject,
                "body": GREETING[language].format(body),
                "now": time.time(),
                "wait": facts.get("wait", 0),
                "asks_for": facts["invoice"].number if facts.get("wait") else None,
            },
        )


def words_of(facts: dict[str, Any], language: str) -> dict[str, Any]:
    words = {name: value for name, value in facts.items() if isinstance(value, str)}
    for name in ("refund", "payment"):
        if name in facts:
            words[name] = money(facts[name].amount_cents, facts[name].currency, language)
    if "invoice" in facts:
        invoice = facts["invoice"]
        words["number"], words["credited_number"] = invoice.number, invoice.credited_number
        words["due_on"] = day(invoice.due_on, language)
        words["amount"] = money(abs(invoice.amount_cents), invoice.currency, language)
        words["at"] = PLACE if facts.get("wait") else ""
        words["due"] = money(invoice.due_cents, invoice.currency, language)
        words["link"] = invoice.payment_url or "-"
    if "dispute" in facts:
        dispute = facts["dispute"]
        words["reason"], words["status"] = dispute.reason or "-", ENDS.get(dispute.status, dispute.status)
        until = {"fr": " avant le {}", "en": " before {}"}[language]
        words["until"] = until.format(day(dispute.evidence_due_at, language)) if dispute.evidence_due_at else ""
    return words


PLACE = "{page}"  # where the page to pay on will stand, once it is there


def day(text: str | None, language: str) -> str:
    """Of a date or an instant: 02/07/2030 in French, 2030-07-02 in English."""
    if not text:
        return "-"
    year, month, number = text[:10].split("-")
    return f"{number}/{month}/{year}" if language == "fr" else text[:10]


def money(cents: int, currency: str, language: str) -> str:
    text = f"{from_cents(cents, currency)} {currency}"
    return text.replace(".", ",") if language == "fr" else text


# -- what is written is sent ---------------------------------------------------------------------------


@click.command("send-mails")
@click.option("--every", type=float, help="Again after so many seconds, until Ctrl-C.")
def send_mails(every: float | None) -> None:
    """Send what is waiting."""
    while True:
        try:
            sent = send_waiting(current_app)
        except (OSError, smtplib.SMTPException) as error:
            click.echo(f"the mail server does not take them, they wait: {error}", err=True)
            if every is None:
                raise SystemExit(1) from None
        else:
            if sent or every is None:
                click.echo(f"{sent} mails sent")
        if every is None:
            return
        time.sleep(every)


def send_waiting(app: Flask) -> int:
    """How many were sent. A server that does not answer raises, and leaves them for the next time."""
    sent = 0
    while True:
        mail = claim(app)
        if mail is None:
            return sent
        body = mail["body"] if mail["asks_for"] is None else look(app, mail)
        if body is None:
            continue
        try:
            send(app, message(app, mail, body))
        except smtplib.SMTPRecipientsRefused as refused:  # this address will not do: the others go on
            note(app, mail["key"], refused=str(refused)[:500])
        except BaseException:
            note(app, mail["key"], claimed_at=None)
            raise
        else:
            note(app, mail["key"], sent_at=time.time())
            sent += 1


def look(app: Flask, mail: sqlite3.Row) -> str | None:
    """What "please pay" says by now. None: nothing is due any more, or its gateway does not have it yet,
    and it is looked at again.
    """
    with app.app_context():
        invoice = billing.get_invoice(mail["asks_for"])
    if not invoice.due_cents:
        note(app, mail["key"], refused="nobody has to be asked")
        return None
    if invoice.payment_url is None:
        note(app, mail["key"], due_at=time.time() + LOOKED_AT_AFTER)
        return None
    return str(mail["body"]).replace(PLACE, f" : {invoice.payment_url}")


def claim(app: Flask) -> sqlite3.Row | None:
    """The oldest that nobody is sending. One statement: of two senders one has it."""
    with database(app) as db:
        rows = db.execute(
            """UPDATE mails SET claimed_at = :now
                WHERE key = (SELECT key FROM mails WHERE sent_at IS NULL AND refused IS NULL AND due_at <= :now
                                AND (claimed_at IS NULL OR claimed_at < :now - :again)
                              ORDER BY written_at, key LIMIT 1)
            RETURNING *""",
            {"now": time.time(), "again": TRIED_AGAIN_AFTER},
        ).fetchall()
    return rows[0] if rows else None


def note(app: Flask, key: str, **what: Any) -> None:
    [(name, value)] = what.items()
    with database(app) as db:
        db.execute(f"UPDATE mails SET {name} = ? WHERE key = ?", (value, key))


def message(app: Flask, mail: sqlite3.Row, body: str) -> EmailMessage:
    made = EmailMessage()
    made["From"] = app.config["MAIL_FROM"] or "billing@example.com"
    made["To"] = mail["recipient"]
    made["Subject"] = mail["subject"]
    made["Message-ID"] = f"<{hashlib.sha256(mail['key'].encode()).hexdigest()[:32]}@billing.example>"
    made.set_content(body)
    return made


def send(app: Flask, mail: EmailMessage) -> None:
    if not app.config["MAIL_SERVER"]:
        print(f"To: {mail['To']}\nSubject: {mail['Subject']}\n\n{mail.get_content()}")
        return
    host, _, port = app.config["MAIL_SERVER"].partition(":")
    with smtplib.SMTP(host, int(port or 25), timeout=SECONDS_FOR_THE_SERVER) as server:
        if app.config["MAIL_USER"]:
            server.starttls()
            server.login(app.config["MAIL_USER"], app.config["MAIL_PASSWORD"])
        server.send_message(mail)

"""`flask billing disputes`: payments that a payer's bank calls into question, and until when to answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import click

from api_v1.blueprint import billing_bp
from api_v1.commands.shared import as_json, in_one_sentence, show
from api_v1.runtime import current_runtime
from turf_saas.money import from_cents
from turf_saas.stripe_disputes import Contested, list_disputes


@billing_bp.cli.command("disputes")
@click.option("--open", "only_open", is_flag=True, help="Only those that are not decided.")
@click.option(
    "--limit", "most", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many are shown at most."
)
@as_json
@in_one_sentence
def show_disputes(only_open: bool, most: int, as_json: bool) -> None:
    """Disputes, the newest first: payment, invoice, user, amount, status, and until when to answer in Stripe."""
    found = list_disputes(current_runtime().db(), only_open=only_open, limit=most)
    show({"disputes": [_answer(one) for one in found]}, as_json, _lines(found))


def _answer(one: Contested) -> dict[str, object]:
    return {**asdict(one.dispute), "invoice_number": one.invoice_number}


def _lines(found: list[Contested]) -> Iterator[str]:
    for invoice_number, dispute in ((one.invoice_number, one.dispute) for one in found):
        due = f"  answer until {dispute.evidence_due_at}" if dispute.evidence_due_at and not dispute.is_closed else ""
        money = f"{from_cents(dispute.amount_cents, dispute.currency)} {dispute.currency}"
        about = f"payment {dispute.payment_id}  {invoice_number or '-'}  user {dispute.user_id}"
        yield f"{dispute.stripe_dispute_id}  {about}  {money}  {dispute.status}  {dispute.reason or '-'}{due}"
    yield f"{len(found)} disputes"

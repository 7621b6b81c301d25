"""`flask billing payouts`: what Stripe has sent to the bank, and of what each payout is made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import click
from flask.cli import with_appcontext

from api_v1.blueprint import billing_bp
from api_v1.commands.shared import as_json, in_one_sentence, show
from api_v1.runtime import current_runtime
from turf_saas.money import from_cents
from turf_saas.payouts import Payout, PayoutLine, get_payout, list_lines, list_payouts
from turf_saas.values import plain


@billing_bp.cli.group("payouts", invoke_without_command=True)
@click.option(
    "--limit", "most", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many are shown at most."
)
@as_json
@click.pass_context
@with_appcontext
@in_one_sentence
def payouts(context: click.Context, most: int, as_json: bool) -> None:
    """Payouts, the newest first: charges, refunds, disputes, fees, and whether they come to what was sent.

    Nothing is asked of Stripe here: the lines of a payout are read by a job when its event comes. Exit 1 when one does
    not agree.
    """
    if context.invoked_subcommand is not None:
        return
    found = list_payouts(current_runtime().db(), limit=most)
    show({"payouts": [_answer(one) for one in found]}, as_json, _lines(found))
    if any(one.agrees is False for one in found):
        context.exit(1)


@payouts.command("show")
@click.argument("payout", metavar="ID")
@as_json
@in_one_sentence
def show_payout(payout: str, as_json: bool) -> None:
    """One payout, and its lines: what each is, of which payment, invoice and user. Exit 1 when it does not agree."""
    db = current_runtime().db()
    found, lines = get_payout(db, payout), list_lines(db, payout)
    answer = {**_answer(found), "items": [asdict(one) for one in lines]}
    show(answer, as_json, [*_whole(found), *map(_line, lines)])
    if found.agrees is False:
        click.get_current_context().exit(1)


def _line(one: PayoutLine) -> str:
    money = f"{from_cents(one.amount_cents, one.currency)} {one.currency}"
    fee = f"  fee {from_cents(-one.fee_cents, one.currency)} {one.currency}" if one.fee_cents else ""
    known = f"  payment {one.payment_id}  {one.invoice_number or '-'}  user {one.user_id}" if one.payment_id else ""
    return f"            {one.part:7}  {plain(one.source_id or one.id)}  {money}{fee}{known}"


def _answer(payout: Payout) -> dict[str, object]:
    return {**asdict(payout), "agrees": payout.agrees}


def _lines(found: list[Payout]) -> Iterator[str]:
    for one in found:
        yield from _whole(one)
    yield f"{len(found)} payouts"


def _whole(one: Payout) -> Iterator[str]:
    yield f"{one.arrives_on or '-':10}  {one.id}  {one.status}  {_money(one, one.amount_cents)}  {_agrees(one)}"
    if one.lines:
        parts = (
            ("charges", one.gross_cents),
            ("refunds", one.refunds_cents),
            ("disputes", one.disputes_cents),
            ("other", one.other_cents),
            ("fees", -one.fees_cents),
            ("dispute fees", -one.dispute_fees_cents),
            ("net", one.net_cents),
        )
        yield "            " + "  ".join(f"{name} {_money(one, cents)}" for name, cents in parts)


def _money(payout: Payout, cents: int) -> str:
    return f"{from_cents(cents, payout.currency)} {payout.currency}"


def _agrees(payout: Payout) -> str:
    if payout.agrees is None:
        return "its lines are not known" if payout.read_at else "not read yet"
    return "agrees" if payout.agrees else "DOES NOT AGREE"

"""`flask billing payouts`: what Stripe has sent to the bank, and of what each payout is made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import click

from api_v1.blueprint import billing_bp
from api_v1.commands.shared import as_json, in_one_sentence, show
from api_v1.runtime import current_runtime
from turf_saas.money import from_cents
from turf_saas.payouts import Payout, list_payouts


@billing_bp.cli.command("payouts")
@click.option(
    "--limit", "most", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many are shown at most."
)
@as_json
@in_one_sentence
def show_payouts(most: int, as_json: bool) -> None:
    """Payouts, the newest first: charges, refunds, disputes, fees, and whether they come to what was sent.

    Nothing is asked of Stripe here: the lines of a payout are read by a job when its event comes. Exit 1 when one does
    not agree.
    """
    found = list_payouts(current_runtime().db(), limit=most)
    show({"payouts": [_answer(one) for one in found]}, as_json, _lines(found))
    if any(one.agrees is False for one in found):
        click.get_current_context().exit(1)


def _answer(payout: Payout) -> dict[str, object]:
    return {**asdict(payout), "agrees": payout.agrees}


def _lines(found: list[Payout]) -> Iterator[str]:
    for one in found:
        yield f"{one.arrives_on or '-':10}  {one.id}  {one.status}  {_money(one, one.amount_cents)}  {_agrees(one)}"
        if one.lines:
            parts = (
                ("charges", one.gross_cents),
                ("refunds", one.refunds_cents),
                ("other", one.other_cents),
                ("fees", -one.fees_cents),
                ("net", one.net_cents),
            )
            yield "            " + "  ".join(f"{name} {_money(one, cents)}" for name, cents in parts)
    yield f"{len(found)} payouts"


def _money(payout: Payout, cents: int) -> str:
    return f"{from_cents(cents, payout.currency)} {payout.currency}"


def _agrees(payout: Payout) -> str:
    if payout.agrees is None:
        return "its lines are not known" if payout.read_at else "not read yet"
    return "agrees" if payout.agrees else "DOES NOT AGREE"

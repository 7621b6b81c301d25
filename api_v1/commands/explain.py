"""`flask billing explain USER MONTH`: how an invoice came about, or what the next one would say."""

from __future__ import annotations

import click

from api_v1.blueprint import billing_bp
from api_v1.commands.shared import as_json, get_user, in_one_sentence, show
from api_v1.runtime import current_runtime
from api_v1.schemas_explain import shown
from turf_saas.errors import InvalidInput
from turf_saas.invoice_explaining import explain_month
from turf_saas.messages import LOCALES
from turf_saas.values import Month


@billing_bp.cli.command("explain")
@click.argument("named", metavar="USER")
@click.argument("month_text", metavar="MONTH")
@click.option("--locale", type=click.Choice(LOCALES), default=None, help="The language; the invoice's own without it.")
@as_json
@in_one_sentence
def explain(named: str, month_text: str, locale: str | None, as_json: bool) -> None:
    """Say line by line how USER's invoice of MONTH (YYYY-MM) came about, fit to be pasted into a mail.

    USER is an id or an e-mail. Of a month that is not invoiced yet it says what would be billed now.
    """
    runtime = current_runtime()
    month = Month.parse(month_text)
    if month is None:
        raise InvalidInput("month_invalid")
    found = explain_month(
        runtime.db(),
        runtime.now(),
        runtime.settings,
        get_user(runtime, named),
        month,
        locale,
        runtime.tax_of,
    )
    show(shown(found), as_json, [found.text.rstrip("\n")])

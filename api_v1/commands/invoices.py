"""`flask billing invoice`: the run that issues what is over, by cron or at a prompt; the first number of a series."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import click

from api_v1.blueprint import billing_bp
from api_v1.commands.shared import as_json, dry_run, get_user, in_one_sentence, progress_bar, show
from api_v1.runtime import Runtime, current_runtime
from api_v1.telling import tell_issued
from turf_saas import invoice_numbers, issuing, tenants
from turf_saas.errors import InvalidInput, NotFound
from turf_saas.issuing import Failed, RunReport
from turf_saas.messages import say
from turf_saas.rehearsal import rehearsal
from turf_saas.users import User
from turf_saas.values import Month


@billing_bp.cli.command("invoice")
@click.option("--due", is_flag=True, help="Every month that is over and not invoiced yet.")
@click.option("--period", default=None, metavar="YYYY-MM", help="This month alone.")
@click.option("--user", "named", default=None, metavar="USER", help="Only this user, an id or an e-mail.")
@click.option("--tenant", "tenant_id", type=int, default=None, help="Only this tenant; without it every one.")
@click.option(
    "--next-number",
    "number",
    type=click.IntRange(1),
    default=None,
    metavar="N",
    help="Issue nothing: the series of now begins with this number. Once, before its first invoice.",
)
@as_json
@dry_run
@in_one_sentence
def invoice(
    due: bool,
    period: str | None,
    named: str | None,
    tenant_id: int | None,
    number: int | None,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Issue the invoices of months that are over; exit 1 when somebody's could not be.

    It may be run again at any time, and by several at once: every user has one invoice per month. Months before a
    --period that are not invoiced yet stay so.
    """
    if [due, period is not None, number is not None].count(True) != 1:
        raise click.UsageError("one of --due, --period and --next-number is needed, and no two of them")
    runtime = current_runtime()
    if number is not None:
        if named is not None:
            raise click.UsageError("a series of numbers is a tenant's: --user says nothing here")
        _start_series(runtime, tenant_id, number, as_json, dry_run)
        return
    month = Month.parse(period) if period is not None else None
    if period is not None and month is None:
        raise InvalidInput("month_invalid")
    report = _run(runtime, month, _user(runtime, named, tenant_id), tenant_id, dry_run)
    failed = [_failed(runtime, one) for one in report.failed]
    answer = {"issued": report.issued, "existing": report.existing, "skipped": report.skipped, "failed": failed}
    show({"dry_run": dry_run, **answer}, as_json, _lines(report, failed, dry_run))
    if failed:
        click.get_current_context().exit(1)


def _user(runtime: Runtime, named: str | None, tenant_id: int | None) -> User | None:
    if named is None:
        return None
    user = get_user(runtime, named)
    if tenant_id not in (None, user.tenant_id):
        raise NotFound("user_not_found")
    return user


def _run(runtime: Runtime, month: Month | None, user: User | None, tenant_id: int | None, dry_run: bool) -> RunReport:
    """One tenant after the other, in one report."""
    db, done = runtime.db(), RunReport()
    if user is not None:
        of = [user.tenant_id]
    elif tenant_id is not None:
        of = [tenants.get_tenant(db, tenant_id).id]
    else:
        of = [tenant.id for tenant in tenants.list_tenants(db)]
    for each in of:
        with progress_bar("issuing" if len(of) == 1 else f"tenant {each}") as progress:
            part = issuing.run(
                db,
                runtime.now(),
                runtime.settings,
                each,
                month,
                tax_of=runtime.tax_of,
                progress=progress,
                told=partial(tell_issued, runtime),
                only=user.id if user is not None else None,
                dry_run=dry_run,
            )
        done.issued += part.issued
        done.existing += part.existing
        done.skipped += part.skipped
        done.failed += part.failed
    return done


def _failed(runtime: Runtime, one: Failed) -> dict[str, Any]:
    sentence = say(one.error.sentence, runtime.settings.locale, **one.error.params)
    return {"user_id": one.user_id, "month": str(one.month), "code": one.error.code, "error": sentence}


def _lines(report: RunReport, failed: list[dict[str, Any]], dry_run: bool) -> Iterator[str]:
    for one in failed:
        yield f"user {one['user_id']} {one['month']}: {one['error']}"
    would = "would issue" if dry_run else "issued"
    yield f"{would} {report.issued}, {report.existing} were there, {report.skipped} had nothing to bill"
    if failed:
        yield f"{len(failed)} wait for the next run"


def _start_series(runtime: Runtime, tenant_id: int | None, number: int, as_json: bool, dry_run: bool) -> None:
    db = runtime.db()
    tenant = tenants.get_tenant(db, tenants.FIRST if tenant_id is None else tenant_id)
    with rehearsal(db, dry_run=dry_run):
        series = invoice_numbers.start_series(db, runtime.now(), runtime.settings, tenant.id, number)
    begins = "would begin" if dry_run else "begins"
    sentence = f"the series {series} of tenant {tenant.id} {begins} with {number}"
    show({"dry_run": dry_run, "tenant_id": tenant.id, "series": series, "first_number": number}, as_json, [sentence])

"""`flask billing plans …`: the catalogue, and the reviewed file that it is kept in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from flask.cli import AppGroup

from api_v1.blueprint import billing_bp
from api_v1.commands.shared import as_json, dry_run, in_one_sentence, show
from api_v1.runtime import Runtime, current_runtime
from turf_saas import adopting_subscribers, catalogue, plan_files, plan_lint, tenants
from turf_saas.adopting_subscribers import Adopted
from turf_saas.catalogue import Existing
from turf_saas.errors import Fault, InvalidInput
from turf_saas.messages import say
from turf_saas.money import from_cents
from turf_saas.plan_drafts import PlanDraft, draft_as_json, draft_of
from turf_saas.plan_files import Difference
from turf_saas.plans import Plan
from turf_saas.prices import decimal_text
from turf_saas.rehearsal import rehearsal
from turf_saas.settings import limit_name

BY = "cli"

plans = AppGroup("plans", help="What is sold: list, show, a reviewed file applied, checked and compared.")
billing_bp.cli.add_command(plans)

of_tenant = click.option(
    "--tenant", "tenant_id", type=int, default=tenants.FIRST, show_default=True, help="Whose catalogue."
)
a_file = click.argument("file", type=click.Path(path_type=Path))


def _tenant(runtime: Runtime, tenant_id: int) -> int:
    return tenants.get_tenant(runtime.db(), tenant_id).id


def _read(runtime: Runtime, file: Path) -> list[PlanDraft]:
    """The plans of the file; or exit 1, and every fault on a line of its own on stderr."""
    try:
        return plan_files.read_file(file, currency=runtime.settings.currency)
    except InvalidInput as error:
        if not error.faults:
            raise
        for line in _faults(runtime, error.faults):
            click.echo(line, err=True)
        raise click.ClickException(f"{file}: {len(error.faults)} faults") from None


def _faults(runtime: Runtime, faults: Sequence[Fault]) -> Iterator[str]:
    for fault in faults:
        yield f"{fault.loc or '/'}: {say(fault.code, runtime.settings.locale, **fault.params)}"


# -- list, show ------------------------------------------------------------------------------------


@plans.command("list")
@click.option("--archived", is_flag=True, help="Those that are sold no more, too.")
@of_tenant
@as_json
@in_one_sentence
def list_all(archived: bool, tenant_id: int, as_json: bool) -> None:
    """What is sold, the cheapest first, as it is written: settings that replace a limit are named by `show`."""
    runtime = current_runtime()
    found = catalogue.list_plans(runtime.db(), _tenant(runtime, tenant_id), archived=archived)
    show([_shown(plan) for plan in found], as_json, map(_line, found))


def _shown(plan: Plan) -> dict[str, Any]:
    return {**draft_as_json(draft_of(plan)), "version": plan.version, "archived": plan.archived_at is not None}


def _line(plan: Plan) -> str:
    fee = f"{decimal_text(from_cents(plan.amount_cents, plan.currency))} {plan.currency}"
    priced = {price.metric: price.model for price in plan.terms.prices}
    metrics = [
        f"{metric} {'unlimited' if limit.included is None else limit.included}"
        f"{' a day' if limit.window == 'day' else ''} {limit.policy}{', priced' if metric in priced else ''}"
        for metric, limit in plan.terms.limits.items()
    ]
    metrics += [f"{metric} {model}" for metric, model in priced.items() if metric not in plan.terms.limits]
    archived = f"  archived {plan.archived_at}" if plan.archived_at else ""
    return f"{plan.code}  v{plan.version}  {fee} a {plan.interval}  {'; '.join(metrics)}{archived}".rstrip()


@plans.command("show")
@click.argument("codes", metavar="[CODE]...", nargs=-1)
@of_tenant
@as_json
@in_one_sentence
def show_plans(codes: tuple[str, ...], tenant_id: int, as_json: bool) -> None:
    """The plan CODE as a file of plans has it; without a CODE all that are sold: `plans show > plans.toml`."""
    runtime = current_runtime()
    db, tenant_id = runtime.db(), _tenant(runtime, tenant_id)
    found = [catalogue.get_plan(db, tenant_id, code) for code in codes] or catalogue.list_plans(db, tenant_id)
    shown = [_shown(plan) for plan in found]
    show(shown[0] if len(codes) == 1 else shown, as_json, ("\n".join(_toml(runtime, plan)) for plan in found))


def _toml(runtime: Runtime, plan: Plan) -> Iterator[str]:
    archived = f", archived {plan.archived_at}" if plan.archived_at else ""
    yield f"# version {plan.version} of {plan.created_at}{archived}"
    for metric in plan.terms.limits:
        name = limit_name(plan.code, metric)
        if name in runtime.settings.limits:
            set_to = runtime.settings.limits[name]
            yield f"# {name}={'unlimited' if set_to is None else set_to} holds instead of what is included here"
    yield plan_files.as_toml(draft_of(plan))


# -- apply, diff -----------------------------------------------------------------------------------


@plans.command("apply")
@a_file
@click.option(
    "--existing",
    type=click.Choice(["keep", "next_period"]),
    default="keep",
    show_default=True,
    help="Who is subscribed to a plan that changes keeps his version, or moves when his period ends.",
)
@click.option("--archive-missing", is_flag=True, help="Archive what is sold and not in the file.")
@of_tenant
@as_json
@dry_run
@in_one_sentence
def apply(file: Path, existing: Existing, archive_missing: bool, tenant_id: int, as_json: bool, dry_run: bool) -> None:
    """Make the catalogue say what FILE says: all of it, or nothing. A plan that changes gets a new version."""
    runtime = current_runtime()
    drafts = _read(runtime, file)
    db, tenant_id = runtime.db(), _tenant(runtime, tenant_id)
    with rehearsal(db, dry_run=dry_run):
        done = plan_files.apply(
            db,
            runtime.now(),
            tenant_id,
            drafts,
            default_plan=runtime.settings.default_plan,
            existing=existing,
            archive_missing=archive_missing,
            by=BY,
        )
    lines = [line for found in done for line in _difference(found)]
    show({"dry_run": dry_run, "plans": [asdict(found) for found in done]}, as_json, _would(lines, dry_run))


def _would(lines: Sequence[str], dry_run: bool) -> Iterator[str]:
    yield from lines
    if dry_run:
        yield "nothing was done: a dry run"


@plans.command("diff")
@a_file
@of_tenant
@as_json
@in_one_sentence
def diff(file: Path, tenant_id: int, as_json: bool) -> None:
    """What FILE says that the catalogue does not. Exit 1 when there is a difference, as diff does."""
    runtime = current_runtime()
    drafts = _read(runtime, file)
    found = plan_files.compare(runtime.db(), _tenant(runtime, tenant_id), drafts)
    differ = [difference for difference in found if difference.is_one]
    lines = [line for difference in differ for line in _difference(difference)]
    answer = {"equal": not differ, "plans": [asdict(difference) for difference in differ]}
    show(answer, as_json, lines or ["no difference"])
    if differ:
        click.get_current_context().exit(1)


_SAID = {
    "new": "new",
    "returns": "archived before: version {version}",
    "changed": "version {version}",
    "unchanged": "unchanged",
    "missing": "not in the file: left as it is",
    "archived": "archived",
}


def _difference(found: Difference) -> Iterator[str]:
    yield f"{found.code}: {_SAID[found.kind].format(version=found.version)}"
    for name, (old, new) in found.fields.items():
        if name in ("limits", "prices"):
            yield from _parts(name, old, new)
        else:
            yield f"    {name}: {old!r} -> {new!r}"


def _parts(name: str, old: Any, new: Any) -> Iterator[str]:
    """Metric by metric: only those that differ."""
    before, after = (
        side if isinstance(side, dict) else {price["metric"]: price for price in side} for side in (old, new)
    )
    for metric in dict.fromkeys((*before, *after)):
        if before.get(metric) != after.get(metric):
            yield f"    {name}.{metric}: {before.get(metric)} -> {after.get(metric)}"


# -- lint ------------------------------------------------------------------------------------------


@plans.command("lint")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@of_tenant
@as_json
@in_one_sentence
def lint(file: Path | None, tenant_id: int, as_json: bool) -> None:
    """What FILE (or, without one, the catalogue) says and probably does not mean. Exit 1 only when it has faults."""
    runtime = current_runtime()
    faults: Sequence[Fault] = ()
    drafts: list[PlanDraft] = []
    if file is None:
        drafts = [draft_of(plan) for plan in catalogue.list_plans(runtime.db(), _tenant(runtime, tenant_id))]
    else:
        try:
            drafts = plan_files.read_file(file, currency=runtime.settings.currency)
        except InvalidInput as error:
            if not error.faults:
                raise
            faults = error.faults
    remarks = plan_lint.remarks_of(drafts, default_plan=runtime.settings.default_plan)
    locale = runtime.settings.locale
    answer = {
        "ok": not faults,
        "faults": [
            {"loc": fault.loc, "code": fault.code, "message": say(fault.code, locale, **fault.params)}
            for fault in faults
        ],
        "warnings": [asdict(remark) for remark in remarks],
    }
    lines = [f"fault    {line}" for line in _faults(runtime, faults)]
    lines += [f"warning  {remark.plan}{remark.loc}: {remark.message}" for remark in remarks]
    show(answer, as_json, lines or [f"{len(drafts)} plans, nothing to remark"])
    if faults:
        click.get_current_context().exit(1)


# -- adopt-subscribers -----------------------------------------------------------------------------


@plans.command("adopt-subscribers")
@click.option(
    "--from",
    "first_day",
    type=click.DateTime(["%Y-%m-%d"]),
    required=True,
    metavar="YYYY-MM-DD",
    help="The day from which they are billed: today, or one that has passed.",
)
@click.option("--plan", default=None, metavar="CODE", help="Only those of this plan.")
@of_tenant
@as_json
@dry_run
@in_one_sentence
def adopt_subscribers(first_day: datetime, plan: str | None, tenant_id: int, as_json: bool, dry_run: bool) -> None:
    """Bill subscribers of whom it is only known which plan they are on, from 00:00 of a day on."""
    runtime = current_runtime()
    db, tenant_id = runtime.db(), _tenant(runtime, tenant_id)
    if plan is not None:
        catalogue.get_plan(db, tenant_id, plan)
    with rehearsal(db, dry_run=dry_run):
        done = adopting_subscribers.adopt_subscribers(
            db, runtime.now(), runtime.settings, tenant_id, first_day.date(), plan=plan, by=BY
        )
    show({"dry_run": dry_run, "total": done.total, **asdict(done)}, as_json, _adopted(done, dry_run))


_WHY = {
    "changed_since": "their plan was another one on that day, or not known",
    "other_currency": "they have paid in another currency",
    "paid_already": "they have paid for a time that is not over on that day",
    "plan_is_free": "their plan costs nothing",
    "plan_unknown": "their plan is not in the catalogue",
    "stripe": "Stripe bills them",
    "trialing": "they are in a trial whose end is not known",
    "unpaid": "they are unpaid",
}


def _adopted(done: Adopted, dry_run: bool) -> Iterator[str]:
    becomes = "would be billed" if dry_run else "are billed"
    for plan, rows in done.plans.items():
        yield f"{plan}: {rows} {becomes} from {done.effective_at} on"
    if not done.plans:
        yield "nobody to bill"
    for reason, rows in done.left_out.items():
        yield f"left out: {rows}, for {_WHY[reason]}"

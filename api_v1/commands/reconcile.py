"""`flask billing reconcile`: what we know is held against what Stripe has, and mended."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

import click

from api_v1.blueprint import billing_bp
from api_v1.commands.shared import as_json, dry_run, in_one_sentence, show
from api_v1.runtime import current_runtime
from api_v1.telling import tell_notices
from turf_saas import reconciling
from turf_saas.reconciling import Reconciled, Step
from turf_saas.stripe_gateway import require_stripe
from turf_saas.values import instant_text


@billing_bp.cli.command("reconcile")
@click.option(
    "--since", type=click.DateTime(["%Y-%m-%d"]), default=None, help="Look at what was made since that day (UTC)."
)
@as_json
@dry_run
@in_one_sentence
def reconcile(since: datetime | None, as_json: bool, dry_run: bool) -> None:
    """Take the events of Stripe's that never came, and bring what differs to what Stripe has.

    Without --since: what was made in the last 30 days, and whatever is open here. Exit 1 when something is left that
    somebody has to look at.
    """
    runtime = current_runtime()
    done = reconciling.reconcile(
        runtime.db(),
        runtime.now(),
        require_stripe(runtime.stripe),
        runtime.settings,
        since=since.replace(tzinfo=UTC) if since is not None else None,
        dry_run=dry_run,
        noticed=partial(tell_notices, runtime),
    )
    answer = {
        "dry_run": dry_run,
        "since": instant_text(done.since),
        "steps": [step._asdict() for step in done.steps],
        "left": len(done.left),
        "unread": list(done.unread),
    }
    show(answer, as_json, _lines(done, dry_run=dry_run))
    if done.left or done.unread:
        click.get_current_context().exit(1)


def _lines(done: Reconciled, *, dry_run: bool) -> Iterator[str]:
    for step in done.steps:
        yield _line(step, dry_run=dry_run)
    for kind in done.unread:
        yield f"not read: {kind} (a permission that the key lacks, or more than is read at once: see --since)"
    mended = sum(step.result == "mended" for step in done.steps)
    would = "would be mended" if dry_run else "mended"
    yield f"{mended} {would}, {len(done.left)} left to be looked at" if done.steps else "all of it agrees"


def _line(step: Step, *, dry_run: bool) -> str:
    result = f"would be {step.result}" if dry_run and step.result != "left" else step.result
    return f"{result:<{17 if dry_run else 9}}{step.kind} {step.object_id}: {step.sentence}"

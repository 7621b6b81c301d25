"""`flask billing webhooks …`: what Stripe has told, what waits or is parked, and trying that once more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import click
from flask.cli import AppGroup

from api_v1.blueprint import billing_bp
from api_v1.commands.shared import as_json, dry_run, in_one_sentence, show
from api_v1.runtime import current_runtime
from api_v1.telling import tell_notices
from turf_saas import received_events, stripe_inbox
from turf_saas.errors import BillingError, Conflict
from turf_saas.messages import say
from turf_saas.received_events import STATUSES, ReceivedEvent
from turf_saas.rehearsal import rehearsal
from turf_saas.values import plain

webhooks = AppGroup("webhooks", help="What Stripe has told: what became of it, what waits, and what is parked.")
billing_bp.cli.add_command(webhooks)


@webhooks.command("list")
@click.option("--status", type=click.Choice(STATUSES), default=None, help="Only these; failed: parked.")
@click.option("--type", "kind", default=None, help="Only these: invoice.paid, or invoice for all of them.")
@click.option("--limit", "most", type=click.IntRange(1, 1000), default=20, show_default=True)
@as_json
@in_one_sentence
def list_received(status: str | None, kind: str | None, most: int, as_json: bool) -> None:
    """The newest first, and how many there are of each status."""
    db = current_runtime().db()
    found = received_events.list_events(db, status=status, kind=kind, limit=most)
    counts = received_events.count_by_status(db)
    show({"counts": counts, "events": [asdict(one) for one in found]}, as_json, _lines(found, counts))


def _lines(found: Sequence[ReceivedEvent], counts: dict[str, int]) -> Iterator[str]:
    yield from map(_line, found)
    yield ", ".join(f"{many} {status}" for status, many in counts.items())


def _line(event: ReceivedEvent) -> str:
    about = f"  {plain(event.object_id)}" if event.object_id else ""
    note = f"  {plain(event.note, most=120)}" if event.note else ""
    return f"{event.id}  {plain(event.type)}{about}  {event.status}  {event.happened_at}{note}"


@webhooks.command("show")
@click.argument("event")
@as_json
@in_one_sentence
def show_event(event: str, as_json: bool) -> None:
    """One event, by its number here or its evt_ id, with its body while that is kept."""
    db = current_runtime().db()
    found = received_events.get_event(db, event)
    shown: dict[str, Any] = {**asdict(found), "body": received_events.find_body(db, found.id)}
    show(shown, as_json, (f"{name}: {value}" for name, value in shown.items() if value is not None))


@webhooks.command("replay")
@click.argument("events", metavar="[EVENT]...", nargs=-1)
@click.option("--parked", is_flag=True, help="All that are parked, in the order in which they happened.")
@as_json
@dry_run
@in_one_sentence
def replay(events: tuple[str, ...], parked: bool, as_json: bool, dry_run: bool) -> None:
    """Try events once more that wait, are parked, or contradicted the books. Exit 1 when one is not applied still."""
    if bool(events) == parked:
        raise click.UsageError("Name events, or say --parked.")
    db = current_runtime().db()
    chosen = received_events.list_parked(db) if parked else [received_events.get_event(db, one) for one in events]
    answers = [_replay(one, dry_run) for one in chosen]
    lines = [f"{one['id']}  {one['stripe_event_id']}  {one['result']}  {one['note'] or ''}".rstrip() for one in answers]
    show({"dry_run": dry_run, "events": answers}, as_json, [*lines, f"{len(answers)} tried"])
    if any(one["status"] not in received_events.SETTLED for one in answers):
        click.get_current_context().exit(1)


def _replay(event: ReceivedEvent, dry_run: bool) -> dict[str, Any]:
    """Each by itself: what one cannot do keeps no other from it."""
    runtime = current_runtime()
    db = runtime.db()
    try:
        with rehearsal(db, dry_run=dry_run):
            received = stripe_inbox.replay(db, runtime.now(), runtime.settings, event.id)
            after = received_events.get_event(db, str(event.id))
    except Conflict as settled:  # since it was chosen: one that was tried before it has settled it, or a webhook
        after = received_events.get_event(db, str(event.id))
        if event.status in received_events.SETTLED or after.status not in received_events.SETTLED:
            return _refused(event, settled)
        return {**asdict(after), "result": after.status}
    except BillingError as error:
        return _refused(event, error)
    if not dry_run:
        tell_notices(runtime, received.notices)
    return {**asdict(after), "result": after.status}


def _refused(event: ReceivedEvent, error: BillingError) -> dict[str, Any]:
    said = say(error.sentence, current_runtime().settings.locale, **error.params)
    return {**asdict(event), "status": "refused", "result": "refused", "note": said}


@webhooks.command("dismiss")
@click.argument("events", metavar="EVENT...", nargs=-1, required=True)
@click.option("--why", required=True, help="What was done about it instead: kept with the event.")
@as_json
@dry_run
@in_one_sentence
def dismiss(events: tuple[str, ...], why: str, as_json: bool, dry_run: bool) -> None:
    """Settle events that somebody has seen to by other means: all of them, or none. They are not tried again."""
    runtime = current_runtime()
    db = runtime.db()
    with rehearsal(db, dry_run=dry_run):
        chosen = [received_events.get_event(db, one) for one in events]
        after = [received_events.dismiss(db, runtime.now(), one.id, why) for one in chosen]
    show({"dry_run": dry_run, "events": [asdict(one) for one in after]}, as_json, map(_line, after))

"""`flask billing usage …`: whether what is counted is what was used, and old events put aside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from flask.cli import AppGroup

from api_v1.blueprint import billing_bp
from api_v1.commands.shared import as_json, dry_run, in_one_sentence, progress_bar, show
from api_v1.runtime import current_runtime
from turf_saas import usage_archive, usage_check
from turf_saas.errors import InvalidInput
from turf_saas.usage_check import Checked, Disagreement, Rebuilt
from turf_saas.values import Month

usage = AppGroup("usage", help="Whether what is counted is what was used; old events put aside.")
billing_bp.cli.add_command(usage)

of_month = click.option("--month", "month_text", default=None, help="Only this month, YYYY-MM.")
at_most = click.option(
    "--limit", "most", type=click.IntRange(0), default=20, show_default=True, help="How many are shown at most."
)


def _month(text: str | None) -> Month | None:
    month = Month.parse(text) if text is not None else None
    if text is not None and month is None:
        raise InvalidInput("month_invalid")
    return month


def _first(shown: list[Disagreement], total: int) -> Iterator[str]:
    yield from (found.sentence for found in shown)
    if total > len(shown):
        yield f"… and {total - len(shown)} more"


# -- check -----------------------------------------------------------------------------------------


@usage.command("check")
@of_month
@click.option(
    "--archive",
    "file",
    type=click.Path(path_type=Path),
    default=None,
    help="Prove this archive instead: that it is unchanged, and that its days are the sums of its events.",
)
@at_most
@as_json
@in_one_sentence
def check(month_text: str | None, file: Path | None, most: int, as_json: bool) -> None:
    """Prove that events, days, counters and holds agree. Nothing is changed; exit 1 when they do not.

    With --month the keys of events are left out.
    """
    if file is not None and month_text is not None:
        raise click.UsageError("--archive and --month cannot be used together")
    db = current_runtime().db()
    if file is not None:
        archive, wrong = usage_archive.check_file(db, file)
        total, shown = len(wrong), wrong[:most]
        proved: dict[str, Any] = {"archive": asdict(archive)}
        lines: Iterable[str] = [f"{archive.events} events before {archive.before_day} are in {file}, unchanged"]
    else:
        checked = usage_check.check(db, _month(month_text), most=most)
        total, shown = checked.disagreements, checked.shown
        archives = usage_archive.list_archives(db)
        proved = {"proved": checked.proved, "archives": [asdict(archive) for archive in archives]}
        lines = _checked(checked)
    answer = {"ok": not total, **proved, "disagreements": total, "shown": [asdict(found) for found in shown]}
    verdict = f"{total} disagreements" if total else "all of it agrees"
    show(answer, as_json, [*_first(shown, total), *lines, verdict])
    if total:
        click.get_current_context().exit(1)


def _checked(checked: Checked) -> Iterator[str]:
    proved = checked.proved
    keys = f", {proved['keys']} keys" if "keys" in proved else ""
    yield (
        f"compared: {proved['events']} events{keys}, {proved['days']} days, {proved['logged']} days of calls, "
        f"{proved['counters']} counters, {proved['held']} holds"
    )
    if checked.archived_before:
        yield f"events before {checked.archived_before} are archived: usage check --archive FILE proves their days"


# -- rebuild ---------------------------------------------------------------------------------------


@usage.command("rebuild")
@of_month
@click.option("--drop-unexplained", is_flag=True, help="Take out days that no event explains, too.")
@at_most
@as_json
@dry_run
@in_one_sentence
def rebuild(month_text: str | None, drop_unexplained: bool, most: int, as_json: bool, dry_run: bool) -> None:
    """Make days the sums of their events again, and counters those of their days.

    A day that no event explains stays, because another program may have written it. Exit 1 when something is left.
    """
    runtime = current_runtime()
    with progress_bar("rebuilding") as progress:
        done = usage_check.rebuild(
            runtime.db(),
            runtime.now(),
            _month(month_text),
            drop_unexplained=drop_unexplained,
            dry_run=dry_run,
            most=most,
            progress=progress,
        )
    show({"dry_run": dry_run, **asdict(done)}, as_json, _rebuilt(done, dry_run))
    if done.left:
        click.get_current_context().exit(1)


def _rebuilt(done: Rebuilt, dry_run: bool) -> Iterator[str]:
    yield from _first(done.first_mended, done.mended)
    yield f"{'would mend' if dry_run else 'mended'} {done.mended} disagreements" if done.mended else "nothing to mend"
    if done.left:
        yield from _first(done.first_left, done.left)
        yield f"{done.left} are left: --drop-unexplained takes out days that no event explains"


# -- archive ---------------------------------------------------------------------------------------


@usage.command("archive")
@click.option(
    "--before", type=click.DateTime(["%Y-%m-%d"]), required=True, metavar="YYYY-MM-DD", help="The first day that stays."
)
@click.option(
    "--to",
    "file",
    type=click.Path(path_type=Path),
    required=True,
    help="The file to make: a JSON object a line, compressed when its name ends in .gz.",
)
@as_json
@dry_run
@in_one_sentence
def archive(before: datetime, file: Path, as_json: bool, dry_run: bool) -> None:
    """Put the events before a day in a file and take them out of the database. Days, counters and keys stay."""
    runtime = current_runtime()
    with progress_bar("writing") as progress:
        made = usage_archive.archive(
            runtime.db(), runtime.now(), runtime.settings, before.date(), file, dry_run=dry_run, progress=progress
        )
    if made.events:
        sentence = f"{'would put' if dry_run else 'put'} {made.events} events before {made.before_day} in {made.file}"
    else:
        sentence = f"there are no events before {made.before_day}: nothing was done"
    show({"dry_run": dry_run, **asdict(made)}, as_json, [sentence])

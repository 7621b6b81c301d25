"""`flask billing backup`: a copy of the whole database, while the app serves."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

import billing_db
from api_v1.blueprint import billing_bp
from api_v1.commands.shared import as_json, dry_run, in_one_sentence, show
from api_v1.runtime import current_runtime
from turf_saas.backup import Backup, backup


@billing_bp.cli.command("backup")
@click.argument("file", type=click.Path(path_type=Path))
@as_json
@dry_run
@in_one_sentence
def back_up(file: Path, as_json: bool, dry_run: bool) -> None:
    """Copy the whole database into FILE, while others write, and read the copy again.

    FILE must not be there yet. A SQLite file is copied page by page; of PostgreSQL it is what pg_dump -Fc writes.
    Nothing is migrated: make one before you do. Keep what it says of the chains with the file.
    """
    runtime = current_runtime()
    begun = time.monotonic()
    with closing(billing_db.connect(runtime.settings.database, create=False, wal=False)) as db:
        made = backup(db, runtime.real_now(), runtime.settings, file, dry_run=dry_run)
    seconds = round(time.monotonic() - begun, 3)
    chains = [head._asdict() for head in made.chains]
    answer = {"dry_run": dry_run, **asdict(made), "chains": chains, "seconds": seconds}
    show(answer, as_json, _lines(made, answer))


def _lines(made: Backup, answer: dict[str, Any]) -> Iterator[str]:
    if answer["dry_run"]:
        yield f"{made.file} would be written: the database has {made.bytes} bytes"
    else:
        yield f"{made.file}: {made.bytes} bytes in {answer['seconds']} seconds, read again and sound"
    yield f"pending    {', '.join(made.pending) or 'nothing'}"
    for table, rows in (made.counts or {}).items():
        yield f"           {rows:>9} {table}"
    for head in made.chains:
        yield f"chain of tenant {head.tenant_id}: {head.position} documents, the last of {head.issued_at}, {head.hash}"

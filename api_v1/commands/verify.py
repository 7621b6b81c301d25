"""`flask billing verify`: whether what was issued stands as it was issued, and what is not billed yet."""

from __future__ import annotations

from collections.abc import Iterator

import click

from api_v1.blueprint import billing_bp
from api_v1.commands.shared import as_json, in_one_sentence, progress_bar, show
from api_v1.runtime import current_runtime
from turf_saas import tenants
from turf_saas.findings import Finding
from turf_saas.register_proof import Head
from turf_saas.values import Month
from turf_saas.verifying import Some, Verified, verify


@billing_bp.cli.command("verify")
@click.option("--tenant", "tenant_id", type=int, default=None, help="Only this tenant; without it every one.")
@click.option(
    "--limit", "most", type=click.IntRange(0), default=20, show_default=True, help="How many are shown at most."
)
@as_json
@in_one_sentence
def verify_all(tenant_id: int | None, most: int, as_json: bool) -> None:
    """Prove every invoice and credit note: chain, numbers, sums, VAT, money. Exit 1 when something is wrong.

    Nothing is changed. Keep the hash that it shows somewhere else: a chain that was rewritten from the start shows by
    that alone.
    """
    runtime = current_runtime()
    db, settings = runtime.db(), runtime.settings
    if tenant_id is not None:
        tenants.get_tenant(db, tenant_id)
    open_month = Month.of(runtime.now(), settings.timezone)
    with progress_bar("verifying") as progress:
        found = verify(db, settings, open_month, tenant_id, most=most, progress=progress)
    show(_answer(found), as_json, _lines(found))
    if found.wrong.many:
        click.get_current_context().exit(1)


def _answer(found: Verified) -> dict[str, object]:
    return {
        "ok": not found.wrong.many,
        "documents": found.documents,
        "months": found.months,
        "chains": [head._asdict() for head in found.heads],
        "findings": found.wrong.many,
        "kinds": found.wrong.kinds,
        "shown": [one._asdict() for one in found.wrong.shown],
        "waiting": found.waiting.kinds,
        "waiting_shown": [one._asdict() for one in found.waiting.shown],
    }


def _lines(found: Verified) -> Iterator[str]:
    yield from _first(found.wrong)
    if found.waiting.many:
        yield f"{found.waiting.many} told, and no fault:"
        yield from _first(found.waiting)
    yield f"looked at {found.documents} documents and {found.months} closed months"
    yield from map(_head, found.heads)
    yield f"{found.wrong.many} findings" if found.wrong.many else "all of it is as it was issued"


def _head(head: Head) -> str:
    return f"chain of tenant {head.tenant_id}: {head.position} documents, the last of {head.issued_at}, {head.hash}"


def _first(some: Some) -> Iterator[str]:
    yield from map(_told, some.shown)
    if some.many > len(some.shown):
        yield f"… and {some.many - len(some.shown)} more"


def _told(found: Finding) -> str:
    return f"[{found.kind}] {found.sentence}"

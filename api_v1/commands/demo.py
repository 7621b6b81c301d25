"""`flask billing demo`: something to look at."""

from __future__ import annotations

from api_v1.blueprint import billing_bp
from api_v1.commands.shared import as_json, dry_run, in_one_sentence, show
from api_v1.runtime import current_runtime
from turf_saas import demo as demo_data
from turf_saas.rehearsal import rehearsal


@billing_bp.cli.command("demo")
@as_json
@dry_run
@in_one_sentence
def demo(as_json: bool, dry_run: bool) -> None:
    """Fill a database without users with demo data. Refused in production (BILLING_ENV)."""
    runtime = current_runtime()
    db = runtime.db()
    there_already = demo_data.is_installed(db)
    with rehearsal(db, dry_run=dry_run):
        made = demo_data.install(db, runtime.now(), runtime.settings, runtime.users)
    emails = [person.email for person in demo_data.PEOPLE] if made else []
    if made:
        sentence = f"{'would make' if dry_run else 'made'} {', '.join(emails)}; the password is {demo_data.PASSWORD}"
    else:
        sentence = f"the {'demo data is there' if there_already else 'database has users'} already: nothing was done"
    show({"dry_run": dry_run, "made": emails}, as_json, [sentence])

"""`flask billing stripe-doctor`: whether Stripe and this app fit together, and what to click where they do not."""

from __future__ import annotations

from dataclasses import asdict

import click

from api_v1.blueprint import billing_bp
from api_v1.commands.shared import as_json, in_one_sentence, show
from api_v1.runtime import current_runtime
from turf_saas import stripe_doctor
from turf_saas.doctor_findings import Finding


@billing_bp.cli.command("stripe-doctor")
@as_json
@in_one_sentence
def examine(as_json: bool) -> None:
    """Key, permissions, webhook endpoint, events, prices, portal: what does not fit, and what to click.

    Nothing is changed, here or at Stripe; exit 1 when something is an error.
    """
    runtime = current_runtime()
    if runtime.stripe is None:
        sentence = "STRIPE_SECRET_KEY is not set: Developers → API keys → Create restricted key."
        findings = [Finding("key", "error", sentence)]
    else:
        findings = stripe_doctor.examine(runtime.db(), runtime.stripe, runtime.settings, prefix=runtime.prefix)
    sick = any(finding.level == "error" for finding in findings)
    answer = {"ok": not sick, "findings": [asdict(finding) for finding in findings]}
    show(answer, as_json, [f"{finding.level:<8}{finding.check:<13}{finding.message}" for finding in findings])
    if sick:
        click.get_current_context().exit(1)

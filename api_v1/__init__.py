"""Billing over HTTP: `app.register_blueprint(billing_bp)`, or `Billing(app)`."""

from api_v1 import errors as _errors  # noqa: F401  registers the error handlers
from api_v1.blueprint import Billing, billing_bp
from api_v1.commands import (  # noqa: F401  register the commands
    admin as _admin,
    backup as _backup,
    database as _database,
    demo as _demo,
    disputes as _disputes,
    explain as _explain,
    invoices as _invoice_commands,
    jobs as _job_commands,
    keys as _keys,
    payouts as _payout_commands,
    plans as _plan_commands,
    reconcile as _reconcile,
    stripe_doctor as _stripe_doctor,
    stripe_fake as _stripe_fake,
    usage as _usage_commands,
    verify as _verify,
    webhooks as _webhook_commands,
)
from api_v1.metered import metered, requires_quota
from api_v1.routes import (  # noqa: F401  register the routes
    account_credit as _account_credit,
    accounts as _accounts,
    api_keys as _api_keys,
    billing as _billing,
    checkout as _checkout,
    clock as _clock,
    credit_notes as _credit_notes,
    discounts as _discounts,
    docs as _docs,
    invoice_explain as _invoice_explain,
    invoice_items as _invoice_items,
    invoices as _invoices,
    ops as _ops,
    payments as _payments,
    plans as _plans,
    pricing as _pricing,
    profile as _profile,
    quotas as _quotas,
    stripe_webhook as _stripe_webhook,
    subscriptions as _subscriptions,
    transactions as _transactions,
    usage as _usage,
)

__all__ = ["Billing", "billing_bp", "metered", "requires_quota"]

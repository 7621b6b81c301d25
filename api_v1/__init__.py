"""Billing over HTTP: `app.register_blueprint(billing_bp)`, or `Billing(app)`."""

from api_v1 import errors as _errors  # noqa: F401  registers the error handlers
from api_v1.blueprint import Billing, billing_bp
from api_v1.commands import (  # noqa: F401  register the commands
    admin as _admin,
    database as _database,
    demo as _demo,
    keys as _keys,
    plans as _plan_commands,
    usage as _usage_commands,
)
from api_v1.metered import metered, requires_quota
from api_v1.routes import (  # noqa: F401  register the routes
    accounts as _accounts,
    api_keys as _api_keys,
    billing as _billing,
    clock as _clock,
    discounts as _discounts,
    docs as _docs,
    invoices as _invoices,
    ops as _ops,
    plans as _plans,
    pricing as _pricing,
    profile as _profile,
    quotas as _quotas,
    subscriptions as _subscriptions,
    usage as _usage,
)

__all__ = ["Billing", "billing_bp", "metered", "requires_quota"]

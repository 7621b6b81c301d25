"""What is wrong at Stripe, or between Stripe and here, each with where to click. Nothing is changed on either side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from urllib.parse import urlsplit

from billing_db import Connection
from turf_saas import stripe_events
from turf_saas.doctor_findings import SHOWN, Finding
from turf_saas.gateways import STRIPE_ADDRESS, GatewayDown, GatewayFailed, GatewayRefused
from turf_saas.settings import Settings
from turf_saas.stripe_doctor_prices import examine_prices
from turf_saas.stripe_gateway import StripeGateway
from turf_saas.stripe_objects import Json, dig, sid
from turf_saas.stripe_permissions import Missing, list_missing

PATHS = ("/webhooks/stripe", "/webhooks/payment")
OLDEST_VERSION = "2024-04-10"  # of an endpoint: since then every shape that it may send is tried here
KEYS = "Developers → API keys"
ENDPOINTS = "Developers → Webhooks"


def examine(db: Connection, gateway: StripeGateway, settings: Settings, *, prefix: str) -> list[Finding]:
    """prefix: where this app answers, below which Stripe has to post."""
    found = [*_settings(settings)]
    key = _key(gateway, settings)
    found += key
    if any(one.level == "error" for one in key):
        return found  # with such a key nothing else can be asked
    looks: dict[str, Callable[[], list[Finding]]] = {
        "permissions": lambda: _permissions(gateway, settings),
        "endpoint": lambda: _endpoints(gateway, prefix),
        "deliveries": lambda: _deliveries(gateway, fits=_fits(found)),
        "prices": lambda: examine_prices(db, gateway),
        "portal": lambda: _portal(gateway),
    }
    for check, look in looks.items():
        try:
            found += look()
        except GatewayRefused as refused:
            if not refused.of_key:  # which permission is missing is told above
                found.append(Finding(check, "error", f"Stripe refuses to tell: {refused}"))
        except GatewayDown as down:
            return [*found, Finding(check, "error", _silent(settings, down))]
    return found


def _silent(settings: Settings, failed: GatewayFailed) -> str:
    return f"Stripe ({settings.stripe_api_base or STRIPE_ADDRESS}) does not answer: {failed}"


def _fits(found: Sequence[Finding]) -> bool:
    """Whether Stripe posts here what it should: what is not taken then fails here."""
    return not any(one.check in ("endpoint", "events", "secret") and one.level == "error" for one in found)


# -- settings and key ------------------------------------------------------------------------------------


def _settings(settings: Settings) -> Iterator[Finding]:
    if not settings.stripe_webhook_secrets:
        sentence = "STRIPE_WEBHOOK_SECRET is not set, and no event is taken: its value is whsec_… of the endpoint"
        yield Finding("secret", "error", f"{sentence} ({ENDPOINTS} → the endpoint → Signing secret).")
    elif not all(secret.startswith("whsec_") for secret in settings.stripe_webhook_secrets):
        yield Finding(
            "secret", "warning", "A secret in STRIPE_WEBHOOK_SECRET does not begin with whsec_, as Stripe's do."
        )
    else:
        yield Finding("secret", "ok", f"Events are checked with {len(settings.stripe_webhook_secrets)} secret(s).")
    if settings.stripe_api_base:
        yield Finding("base", "warning", "BILLING_STRIPE_API_BASE is set: it is not Stripe that is asked.")
    if urlsplit(settings.stripe_api_base).path.rstrip("/"):
        bare = urlsplit(settings.stripe_api_base)._replace(path="", query="", fragment="").geturl()
        sentence = f"BILLING_STRIPE_API_BASE has a path ({settings.stripe_api_base}); the SDK adds /v1 itself: {bare}."
        yield Finding("base", "error", sentence)
    urls = {
        "BILLING_STRIPE_SUCCESS_URL": settings.stripe_success_url,
        "BILLING_STRIPE_CANCEL_URL": settings.stripe_cancel_url,
        "BILLING_STRIPE_RETURN_URL": settings.stripe_return_url,
    }
    unset = [name for name, value in urls.items() if not value]
    if unset:
        sentence = f"{', '.join(unset)} not set: checkout and portal do not know where to send users back to."
        yield Finding("urls", "warning", sentence)


def _key(gateway: StripeGateway, settings: Settings) -> list[Finding]:
    try:
        account = gateway.account()
    except GatewayRefused as refused:
        if refused.status == 403:
            sentence = "The key works; whose it is, it may not tell (that needs no permission to be given)."
            return [Finding("key", "ok", f"{sentence} It is a {gateway.mode} key.")]
        return [Finding("key", "error", f"Stripe refuses STRIPE_SECRET_KEY: {refused} A new one: {KEYS}.")]
    except GatewayFailed as failed:
        return [Finding("key", "error", _silent(settings, failed))]
    found = [Finding("key", "ok", f"The key works: account {sid(account)}, {gateway.mode} mode.")]
    if settings.production and gateway.mode == "test":
        found.append(
            Finding("mode", "warning", f"This is production, and the key is a test key: no money moves. {KEYS}.")
        )
    if not settings.production and gateway.mode == "live":
        found.append(Finding("mode", "warning", "This is no production, and the key is live: real money moves."))
    if dig(account, "charges_enabled") is False:
        sentence = "Stripe takes no payments for this account yet: Settings → Business → Account status."
        found.append(Finding("account", "error" if gateway.mode == "live" else "warning", sentence))
    return found


def _permissions(gateway: StripeGateway, settings: Settings) -> list[Finding]:
    restricted = settings.stripe_secret_key.startswith("rk_")
    missing = list(list_missing(gateway, restricted=restricted))
    if not missing:
        return [Finding("permissions", "ok", "The key may do all that is asked of it.")]
    return [Finding("permissions", "error", _lack(one)) for one in missing]


def _lack(missing: Missing) -> str:
    needed, called = missing
    named = f" ({called})" if called else ""
    return f"The key lacks {needed.name}: {needed.level}{named}: {needed.why}. {KEYS} → the key → Edit key."


# -- webhooks ----------------------------------------------------------------------------------------------


def _endpoints(gateway: StripeGateway, prefix: str) -> list[Finding]:
    known = gateway.list("webhook_endpoints")
    paths = [f"{prefix}{path}" for path in PATHS]
    ours = [one for one in known if _path_of(one) in paths]
    if not ours:
        sentence = (
            f"No webhook endpoint of this account ends in {paths[0]}. {ENDPOINTS} → Add destination, with all events"
        )
        many = len(stripe_events.HANDLERS)
        return [Finding("endpoint", "error", f"{sentence}, or the {many} that docs/stripe.md lists.")]
    enabled = [one for one in ours if one.get("status") == "enabled"]
    if not enabled:
        sentence = "is disabled: after days of failures Stripe turns it off"
        return [Finding("endpoint", "error", f"{_url(ours[0])} {sentence}. {ENDPOINTS} → the endpoint → Enable.")]
    found = [Finding("endpoint", "ok", f"Stripe posts to {', '.join(map(_url, enabled))}.")]
    if len(enabled) > 1:
        sentence = "Several endpoints post here: each event comes as often, with a secret of each endpoint's own."
        found.append(Finding("endpoint", "warning", sentence))
    for one in enabled:
        found += _endpoint(one, live=gateway.mode == "live")
    return found


def _path_of(endpoint: Json) -> str:
    url = str(endpoint.get("url") or "")
    rest = url.split("://", 1)[-1].split("?", 1)[0].split("#", 1)[0]
    return "/" + rest.partition("/")[2].rstrip("/")


def _url(endpoint: Json) -> str:
    return str(endpoint.get("url")).split("?", 1)[0]


def _endpoint(endpoint: Json, *, live: bool) -> Iterator[Finding]:
    where = f"{ENDPOINTS} → {_url(endpoint)} → Edit destination"
    given = endpoint.get("enabled_events")
    chosen = set(given) if isinstance(given, list) else set()
    missing = [name for name in stripe_events.HANDLERS if name not in chosen] if "*" not in chosen else []
    if missing:
        yield Finding("events", "error", f"Stripe does not send {_some(missing)}. {where}.")
    else:
        yield Finding(
            "events", "ok", f"Stripe sends all of the {len(stripe_events.HANDLERS)} events that are acted upon."
        )
    unused = sorted(chosen - {"*"} - set(stripe_events.HANDLERS))
    if unused or "*" in chosen:
        what = _some(unused) if unused else "every event there is"
        yield Finding("events", "ok", f"It sends {what}, too: what is not acted upon is stored and ignored.")
    if live and not _url(endpoint).startswith("https://"):
        yield Finding("endpoint", "error", f"{_url(endpoint)} is no https address.")
    version = endpoint.get("api_version")
    if isinstance(version, str) and version < OLDEST_VERSION:
        sentence = (
            f"{_url(endpoint)} sends objects as of {version}; what is older than {OLDEST_VERSION} was never tried."
        )
        yield Finding("version", "warning", sentence)


def _some(names: Sequence[str]) -> str:
    """As many as a line has room for, and how many there are besides."""
    more = [f"and {len(names) - SHOWN} more"] if len(names) > SHOWN else []
    return ", ".join([*names[:SHOWN], *more])


def _deliveries(gateway: StripeGateway, *, fits: bool) -> list[Finding]:
    """fits: whether the endpoint is as it should be."""
    missed = gateway.list("events", most=100, delivery_success=False)
    if not missed:
        return [Finding("deliveries", "ok", "Every event was delivered.")]
    kinds = Counter(str(one.get("type")) for one in missed).most_common(SHOWN)
    shown = ", ".join(f"{kind} ({many})" for kind, many in kinds)
    likely = (
        f" The endpoint fits, so the likely cause is STRIPE_WEBHOOK_SECRET: {ENDPOINTS} → the endpoint → Signing secret"
        " (the log says 'webhook refused'), or that this app was not reached."
    )
    sentence = f"{len(missed)} events were not delivered yet, of which {shown}. flask billing reconcile takes them."
    return [Finding("deliveries", "warning", sentence + (likely if fits else ""))]


# -- the portal ----------------------------------------------------------------------------------------------


def _portal(gateway: StripeGateway) -> list[Finding]:
    if any(one.get("active") is True for one in gateway.list("billing_portal.configurations", most=100)):
        return [Finding("portal", "ok", "The customer portal is configured.")]
    sentence = "The customer portal is not configured: Settings → Billing → Customer portal → Save changes, once."
    return [Finding("portal", "warning", sentence)]

"""The settings: read once, at registration, from the environment and the app's config, which wins."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from turf_saas import identifiers
from turf_saas.countries import COUNTRIES
from turf_saas.errors import SettingsError

LIMIT_PREFIX = "BILLING_LIMIT_"
MENTION_PREFIX = "BILLING_MENTION_"
SELLER_FIELDS = (
    "NAME", "FORM", "CAPITAL", "SIREN", "SIRET", "RCS", "VAT", "ADDRESS", "ZIP", "CITY", "COUNTRY", "IBAN", "BIC",
)  # fmt: skip
MAX_LIMIT = 2**53
DEAF_TO_STRIPE = (
    "STRIPE_SECRET_KEY is set and STRIPE_WEBHOOK_SECRET is not: what Stripe tells is refused, and no payment is noted."
)
KNOWN_SECRETS = frozenset(
    {
        "secret", "changeme", "change-me", "change me", "dev", "development", "test", "jwt-secret", "super-secret",
        "jwt-secret-key", "your-secret-key", "secret-key", "password", "replace-me-with-at-least-32-random-bytes",
        "your-256-bit-secret", "super-secret-key-change-in-production", "change-this-secret-in-production-please",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """Every setting, checked. `repr` shows no secret."""

    database: str = field(repr=False)
    env: str = "production"
    users_table: str = "users"
    users_id: str = "id"
    users_id_type: str = "integer"
    limits: Mapping[str, int | None] = field(default_factory=dict)
    default_plan: str = "free"
    timezone: tzinfo = UTC
    timezone_name: str = "UTC"
    locale: str = "fr"
    currency: str = "EUR"
    payment_days: int = 30
    numbering_reset: str = "month"
    invoice_dir: str = ""
    seller: Mapping[str, str] = field(default_factory=dict)
    vat_regime: str = "normal"
    vat_on_debits: bool = False
    oss: bool = False
    mentions: Mapping[str, str] = field(default_factory=dict)
    stripe_secret_key: str = field(default="", repr=False)
    stripe_webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    stripe_api_base: str = ""
    stripe_tolerance: int = 300
    stripe_accounts: tuple[str, ...] = ()
    event_days: int = 90
    stripe_success_url: str = ""
    stripe_cancel_url: str = ""
    stripe_return_url: str = ""
    gateway: str = "manual"  # who collects invoices: set where the host hands in one
    self_report: bool = False
    alert_thresholds: tuple[int, ...] = (80, 100)
    meter_methods: tuple[str, ...] = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
    meter_statuses: tuple[str, ...] = ("2xx", "3xx", "4xx")
    dunning_days: tuple[int, ...] = (2, 7, 14, 21)
    late_usage: str = "next_invoice"
    metrics_token: str = field(default="", repr=False)
    trusted_proxies: int = 0
    auto_migrate: bool = True
    accounts: bool = False

    @property
    def production(self) -> bool:
        return self.env == "production"

    @property
    def collects(self) -> bool:
        """Whether what is issued is sent to somebody who collects it."""
        return self.gateway != "manual"

    def meters(self, method: str, status: int) -> bool:
        """Whether an answer of the host counts. 429 is in no class: it says that nothing was done."""
        if method not in self.meter_methods:
            return False
        return str(status) in self.meter_statuses or (status != 429 and f"{status // 100}xx" in self.meter_statuses)

    def limit(self, plan: str, metric: str, built_in: int | None) -> int | None:
        """The limit of a plan's metric: the setting when there is one, else what the catalogue says."""
        return self.limits.get(limit_name(plan, metric), built_in)


@lru_cache(maxsize=1024)  # asked for every metric of every decision
def limit_name(plan: str, metric: str) -> str:
    return f"{LIMIT_PREFIX}{plan}_{metric}".upper().replace("-", "_")


def read_settings(source: Mapping[str, Any]) -> Settings:
    """Check every setting in source. The first one that cannot be used stops the start."""
    values: dict[str, Any] = {}
    for name, (field_name, parse) in SETTINGS.items():
        given = source.get(name)
        if given is None or given == "":
            continue
        values[field_name] = _parsed(name, given, parse)
    if "database" not in values:
        raise SettingsError("TURF_SAAS_DB is not set: give the path of the SQLite file or a postgresql:// URL.")
    values["limits"] = {
        name: _parsed(name, given, _limit) for name, given in source.items() if name.startswith(LIMIT_PREFIX)
    }
    values["seller"] = _seller(source)
    _refuse_elsewhere(values.get("stripe_secret_key", ""), values.get("stripe_api_base", ""))
    values["mentions"] = {
        name: _parsed(name, given, _text) for name, given in source.items() if name.startswith(MENTION_PREFIX) and given
    }
    values["gateway"] = "stripe" if values.get("stripe_secret_key") else "manual"
    values["timezone"] = _zone(values.get("timezone_name", "UTC"))
    return Settings(**values)


def _refuse_elsewhere(key: str, api_base: str) -> None:
    """A live key is shown to Stripe and to nobody else."""
    if api_base and key.startswith(("sk_live_", "rk_live_")) and urlsplit(api_base).hostname != "api.stripe.com":
        raise SettingsError("BILLING_STRIPE_API_BASE: with a live key only https://api.stripe.com is asked.")


def secret_is_weak(secret: str | bytes) -> bool:
    """True for a signing secret that is known or shorter than 32 bytes."""
    raw = secret.encode() if isinstance(secret, str) else secret
    return len(raw) < 32 or raw.decode(errors="replace").lower() in KNOWN_SECRETS


def _parsed(name: str, given: Any, parse: Callable[[Any], Any]) -> Any:
    try:
        return parse(given)
    except ValueError as error:
        shown = "***" if name in SECRET_SETTINGS else repr(given)[:100]
        raise SettingsError(f"{name}={shown}: {error}") from error


def _seller(source: Mapping[str, Any]) -> dict[str, str]:
    """What is given about the seller: each number right by itself, and all of them one company's."""
    found: dict[str, str] = {}
    for word in SELLER_FIELDS:
        name = f"BILLING_SELLER_{word}"
        if source.get(name):
            found[word] = _parsed(name, source[name], SELLER_CHECKS.get(word, _text))
    siren = found.get("SIREN") or found.get("SIRET", "")[:9]
    named = {"SIRET": found.get("SIRET", "")[:9], "VAT": identifiers.siren_of(found.get("VAT", ""))}
    for word, other in named.items():
        if siren and other and other != siren:
            raise SettingsError(f"BILLING_SELLER_{word}={found[word]!r}: must hold the SIREN {siren}")
    return found


def _text(given: Any) -> str:
    text = str(given)
    if not text.isprintable():
        raise ValueError("must be printable text")
    return text


def _identifier(given: Any) -> str:
    text = str(given)
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,62}", text):
        raise ValueError("must be the plain name of a table or column")
    return text


def _integer(least: int, most: int) -> Callable[[Any], int]:
    def parse(given: Any) -> int:
        if isinstance(given, int) and not isinstance(given, bool):
            number = given
        elif isinstance(given, str) and re.fullmatch(r"[0-9]{1,20}", given):
            number = int(given)
        else:
            raise ValueError(f"must be a whole number from {least} to {most}, in digits")
        if not least <= number <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return number

    return parse


def _limit(given: Any) -> int | None:
    if given == "unlimited":
        return None
    try:
        return _integer(0, MAX_LIMIT)(given)
    except ValueError:
        raise ValueError(f"must be a whole number from 0 to {MAX_LIMIT}, in digits, or unlimited") from None


def _flag(given: Any) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    try:
        return words[str(given).lower()]
    except KeyError:
        raise ValueError("must be 1 or 0") from None


def _one_of(*words: str) -> Callable[[Any], str]:
    def parse(given: Any) -> str:
        if given not in words:
            raise ValueError("must be " + " or ".join(words))
        return str(given)

    return parse


def _matching(pattern: str, what: str) -> Callable[[Any], str]:
    def parse(given: Any) -> str:
        if not isinstance(given, str) or not re.fullmatch(pattern, given):
            raise ValueError(f"must be {what}")
        return given

    return parse


_address = _matching(r"https?://\S{1,2000}", "an http:// or https:// address")


def _read_by(read: Callable[[str], str | None], what: str) -> Callable[[Any], str]:
    def parse(given: Any) -> str:
        found = read(str(given))
        if found is None:
            raise ValueError(f"must be {what}")
        return found

    return parse


def _country(given: str) -> str | None:
    return given if given in COUNTRIES else None


def _rising(low: int, high: int, what: str) -> Callable[[Any], tuple[int, ...]]:
    def read(given: Any) -> tuple[int, ...]:
        parts = given if isinstance(given, (list, tuple)) else [part.strip() for part in str(given).split(",")]
        try:
            numbers = tuple(_integer(low, high)(part) for part in parts)
        except ValueError:
            numbers = ()
        if not numbers or list(numbers) != sorted(set(numbers)):
            raise ValueError(f"must be rising numbers of {what}")
        return numbers

    return read


def _choices(pattern: str, what: str) -> Callable[[Any], tuple[str, ...]]:
    def read(given: Any) -> tuple[str, ...]:
        words = _words(given)
        if not words or not all(re.fullmatch(pattern, word) for word in words):
            raise ValueError(f"must be {what}")
        return words

    return read


def _words(given: Any) -> tuple[str, ...]:
    parts = given if isinstance(given, (list, tuple)) else str(given).split(",")
    return tuple(part.strip() for part in parts if part.strip())


def _zone_name(given: Any) -> str:
    _zone(str(given))
    return str(given)


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except Exception:
        raise ValueError("must be a time zone such as UTC or Europe/Paris") from None


# variable -> (field of Settings, how it is read)
SETTINGS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "TURF_SAAS_DB": ("database", _text),
    "BILLING_ENV": ("env", _one_of("production", "development", "testing")),
    "BILLING_USERS_TABLE": ("users_table", _identifier),
    "BILLING_USERS_ID": ("users_id", _identifier),
    "BILLING_USERS_ID_TYPE": ("users_id_type", _one_of("integer", "text")),
    "BILLING_DEFAULT_PLAN": ("default_plan", _matching(r"[a-z0-9][a-z0-9_-]{0,62}", "the code of a plan")),
    "BILLING_TIMEZONE": ("timezone_name", _zone_name),
    "BILLING_LOCALE": ("locale", _one_of("fr", "en")),
    "BILLING_CURRENCY": ("currency", _matching(r"[A-Z]{3}", "a currency of three capital letters, such as EUR")),
    "BILLING_PAYMENT_DAYS": ("payment_days", _integer(0, 365)),
    "BILLING_NUMBERING_RESET": ("numbering_reset", _one_of("month", "year")),
    "BILLING_INVOICE_DIR": ("invoice_dir", _text),
    "BILLING_VAT_REGIME": ("vat_regime", _one_of("normal", "franchise")),
    "BILLING_VAT_ON_DEBITS": ("vat_on_debits", _flag),
    "BILLING_OSS": ("oss", _flag),
    "STRIPE_SECRET_KEY": ("stripe_secret_key", _matching(r"(sk|rk)_\S{1,250}", "a key sk_… or rk_…")),
    "STRIPE_WEBHOOK_SECRET": ("stripe_webhook_secrets", _words),
    "BILLING_STRIPE_API_BASE": ("stripe_api_base", _address),
    "BILLING_STRIPE_TOLERANCE": ("stripe_tolerance", _integer(1, 600)),
    "BILLING_STRIPE_ACCOUNTS": ("stripe_accounts", _choices(r"acct_[A-Za-z0-9]{1,250}", "accounts acct_…")),
    "BILLING_EVENT_DAYS": ("event_days", _integer(1, 3650)),
    "BILLING_STRIPE_SUCCESS_URL": ("stripe_success_url", _address),
    "BILLING_STRIPE_CANCEL_URL": ("stripe_cancel_url", _address),
    "BILLING_STRIPE_RETURN_URL": ("stripe_return_url", _address),
    "BILLING_SELF_REPORT": ("self_report", _flag),
    "BILLING_METER_METHODS": ("meter_methods", _choices(r"[A-Z]{3,10}", "HTTP methods, such as GET,POST")),
    "BILLING_METER_STATUSES": (
        "meter_statuses",
        _choices(r"[1-5](xx|[0-9]{2})", "classes or codes of statuses, such as 2xx,404"),
    ),
    "BILLING_ALERT_THRESHOLDS": ("alert_thresholds", _rising(1, 1000, "percent, such as 80,100")),
    "BILLING_DUNNING_DAYS": ("dunning_days", _rising(0, 365, "days, such as 2,7,14,21")),
    "BILLING_LATE_USAGE": ("late_usage", _one_of("next_invoice", "reject")),
    "BILLING_METRICS_TOKEN": ("metrics_token", _text),
    "BILLING_TRUSTED_PROXIES": ("trusted_proxies", _integer(0, 10)),
    "BILLING_AUTO_MIGRATE": ("auto_migrate", _flag),
    "BILLING_ACCOUNTS": ("accounts", _flag),
}
SELLER_CHECKS: dict[str, Callable[[Any], str]] = {
    "SIREN": _read_by(identifiers.read_siren, "a SIREN of nine digits, the last of which checks the others"),
    "SIRET": _read_by(identifiers.read_siret, "a SIRET of fourteen digits, the last of which checks the others"),
    "VAT": _read_by(identifiers.read_vat_id, "a VAT number with its country, such as FR40303265045"),
    "COUNTRY": _read_by(_country, "a country of ISO 3166-1 in two capital letters, such as FR"),
    "IBAN": _read_by(identifiers.read_iban, "an IBAN, whose check digits are right"),
    "BIC": _read_by(identifiers.read_bic, "a BIC of 8 or 11 characters"),
}
SECRET_SETTINGS = {"STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "BILLING_METRICS_TOKEN", "TURF_SAAS_DB"}

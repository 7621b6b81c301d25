"""What billing keeps per Flask app, in app.extensions["billing"]: settings, the host's hooks, the way to the data."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn, cast

from flask import Flask, Request, current_app, has_request_context, request

import billing_db
from api_v1.signals import send, usage_threshold_reached
from api_v1.token_memory import TokenMemory
from billing_db import Connection
from turf_saas import catalogue, clock, gateway_choice, schema, tenants, thresholds
from turf_saas.errors import SettingsError, Unavailable
from turf_saas.settings import DEAF_TO_STRIPE, Settings, read_settings, secret_is_weak
from turf_saas.status import is_missing
from turf_saas.stripe_gateway import StripeGateway
from turf_saas.users import UsersTable, get_users_table

if TYPE_CHECKING:
    from api_v1.routing import Operation
    from turf_saas.issuing_documents import TaxOf

# In the environ of a request, not in g: a host's tests may keep one g around many requests.
_OUTER = "billing.outer"  # the transactions that were open before it
_AT_END = "billing.at_end"  # what is called at its end
_UNSENT = "billing.unsent"  # whether thresholds have still to be told
BAD_START = 3  # gunicorn stops, rather than starting a worker again, when one exits so


HostJobs = dict[str, Callable[[Mapping[str, Any], Connection], Any]]


@dataclass(frozen=True)
class Hooks:
    """What a host may hand in. Each is optional."""

    user_loader: Callable[[], Any] | None = None
    is_admin: Callable[[Any], bool] | None = None
    tax: Callable[..., Any] | None = None
    gateway: Any = None
    meter: str | Sequence[str] = ()  # the host's routes under these prefixes are counted

    @property
    def prefixes(self) -> tuple[str, ...]:
        return (self.meter,) if isinstance(self.meter, str) else tuple(self.meter)


class Runtime:
    """One app's billing."""

    def __init__(self, app: Flask, hooks: Hooks) -> None:
        self.app = app
        self.hooks = hooks
        self.settings = _settings_or_exit(app)
        self.gateway = _gateway_or_exit(self.settings, hooks.gateway)
        self.settings = replace(self.settings, gateway=gateway_choice.name_of(self.gateway))
        own = self.gateway
        self.stripe = own if isinstance(own, StripeGateway) else gateway_choice.stripe_of(self.settings)
        if self.settings.stripe_secret_key and not self.settings.stripe_webhook_secrets:
            app.logger.error("billing: %s", DEAF_TO_STRIPE)
        self.tokens = TokenMemory()
        self.told_that_nobody_is_known = False
        self.metered_prefixes = hooks.prefixes
        self._unsent = False  # crossings were noted in a transaction that was not over yet
        self.prefix = ""  # where the blueprint was mounted, and what it answers there: for the documentation
        self.operations: list[Operation] = []
        self.document: dict[str, Any] | None = None
        self.host_jobs: HostJobs = {}
        self._lock = threading.Lock()
        self._users: UsersTable | None = None
        app.before_request_funcs.setdefault(None, []).insert(0, _note_transactions)  # before any hook that may write
        app.teardown_request(self._end_request)

    def now(self) -> datetime:
        """What billing takes for now: outside production a test clock may have been set. Tokens expire by real time."""
        real = self.real_now()
        if self.settings.production or self._users is None:  # nothing is read before the database is ready
            return real
        return clock.find_clock(self.db()) or real

    def real_now(self) -> datetime:
        return datetime.now(UTC)

    def db(self) -> Connection:
        """This thread's connection, to a database that is up to date."""
        self.ready()
        return billing_db.get_db(self.settings.database)

    @property
    def tax_of(self) -> TaxOf | None:
        """The host's tax function; None where there is none."""
        return self.hooks.tax

    @property
    def users(self) -> UsersTable:
        self.ready()
        assert self._users is not None
        return self._users

    def ready(self) -> None:
        """Migrate at the first use in this process, or say that it has to be done."""
        if self._users is not None:
            return
        if not self._lock.acquire(timeout=billing_db.BUSY_SECONDS):  # else each thread would wait for all before it
            raise billing_db.DatabaseBusy("The database is still being prepared.")
        try:
            self._refuse_another_database()
            if not self.settings.auto_migrate and is_missing(self.settings):
                raise Unavailable("not_migrated")
            db = billing_db.get_db(self.settings.database, create=True)
            inside = billing_db.in_transaction(db)  # a host's block: there we only look
            if self.settings.auto_migrate and not inside:
                schema.migrate(db, self.real_now(), self.settings)
            elif not schema.is_current(db, self.settings):
                raise Unavailable("not_migrated")
            if catalogue.find_plan(db, tenants.FIRST, self.settings.default_plan) is None:
                raise Unavailable("default_plan_missing", plan=self.settings.default_plan)
            self._users = get_users_table(db)
        finally:
            self._lock.release()

    def is_outdated(self) -> bool:
        """Whether the database was replaced by one that lacks migrations, asked after an error that nobody expected."""
        try:
            db = billing_db.get_db(self.settings.database)
            return self._users is not None and not schema.is_current(db, self.settings)
        except Exception:  # the error before is the one to tell
            return False

    def signal_crossings(self, *, later: bool = False) -> None:
        """Tell the host which thresholds were reached, as soon as that is committed: now, or when the request ends.

        later: it was noted on a connection that the host lent, and only the host knows when it commits.
        """
        try:
            db = self.db()
            if later or billing_db.in_transaction(db):
                self._tell_later()
                return
            taken = thresholds.SENT_AT_ONCE
            while taken == thresholds.SENT_AT_ONCE:
                taken = self._tell(thresholds.take_unsignalled(db, self.now()))
        except billing_db.DatabaseError:  # what was counted is committed, and its answer no failure
            self._tell_later()
            self.app.logger.exception("thresholds that were reached could not be told yet")

    def _tell(self, crossings: Sequence[thresholds.Crossing]) -> int:
        for crossing in crossings:
            send(self.app, usage_threshold_reached, crossing=crossing)
        return len(crossings)

    def _tell_later(self) -> None:
        """At the end of this request, whatever other threads tell meanwhile; or of any other one."""
        self._unsent = True
        if has_request_context():
            current_request().environ[_UNSENT] = True

    def _end_request(self, error: BaseException | None) -> None:
        """One function for all that is left to do: Flask looks at each anew for every request."""
        environ = current_request().environ
        for finish in environ.pop(_AT_END, ()):
            finish(error)
        outer = environ.get(_OUTER)
        if outer is not None:  # else nothing was dispatched, as in a job that pushed a context to render a page
            billing_db.roll_back_leftovers(outer)  # it must not swallow the next request's commits
        # The host has committed by now what it lent its connection for, or undone it.
        if environ.pop(_UNSENT, False) or self._unsent:
            self._unsent = False
            self.signal_crossings()

    def _refuse_another_database(self) -> None:
        """A test that names its own database after registration must not write into the one named before."""
        named = self.app.config.get("TURF_SAAS_DB")
        if named and str(named) != self.settings.database:
            raise billing_db.DatabaseRefused(
                "TURF_SAAS_DB was changed after billing had been registered: set it before, settings are read there."
            )


def _note_transactions() -> None:
    """A request may be made inside somebody's block, by a test client or one app asking another: that stays his."""
    current_request().environ[_OUTER] = billing_db.list_open()


def at_end_of_request(asked: Request, finish: Callable[[BaseException | None], None]) -> None:
    """Have it called when the request is torn down, with the error that nobody handled."""
    asked.environ.setdefault(_AT_END, []).append(finish)


def current_runtime() -> Runtime:
    try:
        return cast(Runtime, current_app.extensions["billing"])
    except KeyError:
        raise RuntimeError("billing is not registered on this app: Billing(app), or register_blueprint") from None


def current_request() -> Request:
    """The request itself: each look through Flask's proxy costs as much as ten attributes of what is behind it."""
    return request._get_current_object()  # type: ignore[attr-defined, no-any-return]


def refuse_start(sentence: str) -> NoReturn:
    """Stop with one line: a wrong setting is for the person at the keyboard, a traceback is not."""
    print(f"billing: {sentence}", file=sys.stderr)
    raise SystemExit(BAD_START)


def _settings_or_exit(app: Flask) -> Settings:
    source = settings_source(app)
    try:
        settings = read_settings(source)
        if not billing_db.is_postgresql(settings.database):
            billing_db.sqlite_path(settings.database)
    except (SettingsError, billing_db.DatabaseRefused) as error:
        refuse_start(str(error))
    secret = jwt_secret(app)
    if settings.production and secret and secret_is_weak(secret):
        refuse_start("JWT_SECRET_KEY is known or shorter than 32 bytes: production needs a secret one.")
    return settings


def _gateway_or_exit(settings: Settings, given: Any) -> gateway_choice.Chosen:
    try:
        return gateway_choice.choose(settings, given)
    except SettingsError as error:
        refuse_start(str(error))


def jwt_secret(app: Flask) -> str:
    return str(app.config.get("JWT_SECRET_KEY") or os.environ.get("JWT_SECRET_KEY") or "")


def settings_source(app: Flask) -> Mapping[str, Any]:
    """The environment, then the app's config over it; and what kind of run this is, if neither says so."""
    source: dict[str, Any] = {**os.environ, **{k: v for k, v in app.config.items() if v is not None}}
    if not source.get("BILLING_ENV"):
        source["BILLING_ENV"] = "testing" if app.testing else "development" if app.debug else "production"
    return source

"""What billing keeps per Flask app, in app.extensions["billing"]: settings, the host's hooks, the way to the data."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn, cast

from flask import Flask, Request, current_app, request

import billing_db
from api_v1.token_memory import TokenMemory
from billing_db import Connection
from turf_saas import schema
from turf_saas.errors import SettingsError, Unavailable
from turf_saas.plans import CATALOGUE
from turf_saas.settings import Settings, read_settings, secret_is_weak
from turf_saas.users import UsersTable, get_users_table

if TYPE_CHECKING:
    from api_v1.routing import Operation

BAD_START = 3  # gunicorn stops, rather than starting a worker again, when one exits so


@dataclass(frozen=True)
class Hooks:
    """What a host may hand in. Each is optional."""

    user_loader: Callable[[], Any] | None = None
    is_admin: Callable[[Any], bool] | None = None
    tax: Callable[..., Any] | None = None
    gateway: Any = None


class Runtime:
    """One app's billing."""

    def __init__(self, app: Flask, hooks: Hooks) -> None:
        self.app = app
        self.hooks = hooks
        self.settings = _settings_or_exit(app)
        self.tokens = TokenMemory()
        self.prefix = ""  # where the blueprint was mounted, and what it answers there: for the documentation
        self.operations: list[Operation] = []
        self.document: dict[str, Any] | None = None
        self._lock = threading.Lock()
        self._users: UsersTable | None = None
        app.teardown_request(_end_transactions)

    def now(self) -> datetime:
        return datetime.now(UTC)

    def db(self) -> Connection:
        """This thread's connection, to a database that is up to date."""
        self.ready()
        return billing_db.get_db(self.settings.database)

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
            db = billing_db.get_db(self.settings.database)
            if self.settings.auto_migrate:
                schema.migrate(db, self.now(), self.settings)
            elif not schema.is_current(db, self.settings):
                raise Unavailable("not_migrated")
            self._users = get_users_table(db)
        finally:
            self._lock.release()

    def _refuse_another_database(self) -> None:
        """A test that names its own database after registration must not write into the one named before."""
        named = self.app.config.get("TURF_SAAS_DB")
        if named and str(named) != self.settings.database:
            raise billing_db.DatabaseRefused(
                "TURF_SAAS_DB was changed after billing had been registered: set it before, settings are read there."
            )


def _end_transactions(_: BaseException | None) -> None:
    """The thread keeps its connection: what a request left open must not swallow the next one's commits."""
    billing_db.roll_back_leftovers()


def current_runtime() -> Runtime:
    return cast(Runtime, current_app.extensions["billing"])


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
    if settings.default_plan not in CATALOGUE:
        refuse_start(f"BILLING_DEFAULT_PLAN={settings.default_plan!r}: there is no such plan.")
    secret = jwt_secret(app)
    if settings.production and secret and secret_is_weak(secret):
        refuse_start("JWT_SECRET_KEY is known or shorter than 32 bytes: production needs a secret one.")
    return settings


def jwt_secret(app: Flask) -> str:
    return str(app.config.get("JWT_SECRET_KEY") or os.environ.get("JWT_SECRET_KEY") or "")


def settings_source(app: Flask) -> Mapping[str, Any]:
    """The environment, then the app's config over it; and what kind of run this is, if neither says so."""
    source: dict[str, Any] = {**os.environ, **{k: v for k, v in app.config.items() if v is not None}}
    if not source.get("BILLING_ENV"):
        source["BILLING_ENV"] = "testing" if app.testing else "development" if app.debug else "production"
    return source

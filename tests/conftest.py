"""Databases of both engines, an app on each, and the cast. Nothing of ours is ever mocked."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule

import billing_db
from billing_db import Connection
from tests import cast as the_cast, postgres, require
from tests.answers import hold_to_document
from tests.cast import SECRET, Cast, Person
from tests.stripe import stripe_client, stripe_fake  # noqa: F401  fixtures
from turf_saas import schema
from turf_saas.settings import read_settings

# How werkzeug makes the URL of a rule is a function that it compiles, for each rule of each app.
_builders: dict[tuple[Any, ...], Any] = {}
ENGINES = ["sqlite", "postgresql"]
NOW = datetime(2026, 5, 20, 10, 0, tzinfo=UTC)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return require.judged((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return require.judged((yield))


def pytest_collection_finish() -> None:
    """Thousands of collected tests stay until the end: to go through them at each collection of garbage is in vain."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A test sees its own settings only, and leaves no connection open."""
    for name in list(os.environ):
        if name.startswith(("BILLING_", "STRIPE_", "TURF_SAAS_", "JWT_")):
            monkeypatch.delenv(name)
    yield
    billing_db.close_db()


@pytest.fixture(scope="session")
def cluster() -> Iterator[postgres.Cluster]:
    reason = postgres.why_not()
    if reason:
        require.without("postgres", reason)
    with postgres.Cluster() as started:
        yield started


def _migrated(url: str) -> str:
    db = billing_db.connect(url)
    schema.migrate(db, NOW, read_settings({"TURF_SAAS_DB": url}))
    db.close()
    return url


@pytest.fixture(scope="session")
def template_of(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Callable[[str], str]:
    """A migrated database per engine, made once and copied for each test."""
    made: dict[str, str] = {}

    def get(engine: str) -> str:
        if engine not in made:
            if engine == "sqlite":
                made[engine] = _migrated(str(tmp_path_factory.mktemp("template") / "billing.db"))
            else:
                made[engine] = _migrated(request.getfixturevalue("cluster").new_database())
        return made[engine]

    return get


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def empty_url(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """A database with nothing in it, on both engines in turn."""
    if engine == "sqlite":
        yield str(tmp_path / "empty.db")
        return
    cluster = request.getfixturevalue("cluster")
    url = cluster.new_database()
    yield url
    billing_db.close_db()
    cluster.drop_database(url)


@pytest.fixture
def url(
    engine: str, tmp_path: Path, template_of: Callable[[str], str], request: pytest.FixtureRequest
) -> Iterator[str]:
    """A migrated database, on both engines in turn."""
    template = template_of(engine)
    if engine == "sqlite":
        yield str(shutil.copy(template, tmp_path / "billing.db"))
        return
    cluster = request.getfixturevalue("cluster")
    copy = cluster.new_database(template)
    yield copy
    billing_db.close_db()
    cluster.drop_database(copy)


@pytest.fixture
def db(url: str) -> Iterator[Connection]:
    connection = billing_db.connect(url)
    yield connection
    connection.close()


@pytest.fixture
def people(db: Connection) -> Cast:
    return the_cast.enter(db)


@pytest.fixture
def alice(people: Cast) -> Person:
    return people.alice


@pytest.fixture
def bob(people: Cast) -> Person:
    return people.bob


@pytest.fixture
def charlie(people: Cast) -> Person:
    return people.charlie


@pytest.fixture
def ada(people: Cast) -> Person:
    return people.ada


class BuiltOnce(Rule):
    """A rule whose builder is compiled once for all apps: to compile those of an app takes longer than most tests."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        if self.defaults:  # they would be part of it
            return super()._compile_builder(append_unknown)
        made_of = (self.rule, *self._trace, append_unknown)
        if made_of not in _builders:
            _builders[made_of] = super()._compile_builder(append_unknown)
        return _builders[made_of]


@pytest.fixture
def make_app(url: str) -> Callable[..., Flask]:
    """An app of a host without users and login of its own, with the blueprint and the given settings."""

    def make(**config: Any) -> Flask:
        from api_v1 import billing_bp

        app = Flask("host")
        app.url_rule_class = BuiltOnce
        app.config.update({"TESTING": True, "TURF_SAAS_DB": url, "JWT_SECRET_KEY": SECRET, **config})
        app.register_blueprint(billing_bp)
        hold_to_document(app)
        return app

    return make


@pytest.fixture
def client(make_app: Callable[..., Flask]) -> FlaskClient:
    return make_app().test_client()

"""Each house rule fails on a planted breach, and lets the plain case beside it pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import make_dataclass
from pathlib import Path

import click
import pytest

from billing_db import Connection, atomic, execute
from tests.house import documents, layers, messages, rooms
from tests.house.sources import Source
from tests.house.tables import unlike_its_table, without_tenant

Rule = Callable[[Source], list[str]]

# rule, where the file would stand, what breaks it, what does not
PLANTED: list[tuple[Rule, str, str, str]] = [
    (layers.imports_upwards, "billing_db.py", "import turf_saas", "import sqlite3"),
    (layers.imports_upwards, "billing_db.py", "def f():\n    from turf_saas import plans", "import json"),
    (layers.imports_upwards, "billing_db.py", "import_module('api_v1.auth')", "import_module('turf_saas.records')"),
    (layers.imports_upwards, "turf_saas/plans.py", "from api_v1.wire import read", "from billing_db import atomic"),
    (
        layers.imports_upwards,
        "turf_saas/plans.py",
        "import importlib; importlib.import_module('api_v1')",
        "from . import x",
    ),
    (layers.imports_upwards, "api_v1/auth.py", "from wsgi import create_app", "from turf_saas import plans"),
    (layers.imports_upwards, "api_v1/auth.py", "from tests.cast import SECRET", "import billing_db"),
    (layers.foreign_imports, "turf_saas/plans.py", "from flask import g", "from decimal import Decimal"),
    (layers.foreign_imports, "turf_saas/plans.py", "import stripe", "import json"),
    (layers.foreign_imports, "turf_saas/stripe_gateway.py", "import stripe", "def f():\n    import stripe"),
    (
        layers.foreign_imports,
        "turf_saas/invoice_pdf.py",
        "from fpdf import FPDF",
        "def f():\n    from fpdf import FPDF",
    ),
    (layers.foreign_imports, "api_v1/wire.py", "def f():\n    import flasgger", "import flask"),
    (layers.foreign_imports, "api_v1/apidocs.py", "import flasgger", "def f():\n    import flasgger"),
    (layers.foreign_imports, "api_v1/wire.py", "import dotenv", "import pydantic"),
    (layers.foreign_imports, "billing_db.py", "import pytest", "def f():\n    import psycopg"),
    (layers.foreign_imports, "billing_db.py", "import pydantic", "import sqlite3"),
    (layers.asks_a_database, "api_v1/routes/ops.py", "db.execute(text)", "db.close()"),
    (layers.asks_a_database, "api_v1/routes/ops.py", "fetch_one(db, q)", "quotas.get_consumption(db, now)"),
    (
        layers.asks_a_database,
        "api_v1/routes/ops.py",
        "from billing_db import fetch_all",
        "from billing_db import atomic",
    ),
    (layers.asks_a_database, "api_v1/routes/ops.py", 'q = "SELECT 1 FROM users"', 'q = "Select a plan"'),
    (layers.asks_a_database, "api_v1/routes/ops.py", 'q = f"DELETE FROM {t}"', 'q = f"Deleted {t}"'),
    (layers.looks_at_a_clock, "turf_saas/plans.py", "datetime.now(UTC)", "datetime.fromisoformat(text)"),
    (layers.looks_at_a_clock, "turf_saas/plans.py", "datetime.datetime.utcnow()", "datetime.datetime(2026, 1, 1)"),
    (layers.looks_at_a_clock, "turf_saas/plans.py", "datetime.date.today()", "now.date()"),
    (layers.looks_at_a_clock, "turf_saas/plans.py", "f(default=time.time)", "f(default=time.struct_time)"),
    (layers.looks_at_a_clock, "turf_saas/plans.py", "from time import time", "from datetime import time"),
    (
        layers.looks_at_a_clock,
        "turf_saas/plans.py",
        "q = \"UPDATE users SET seen = datetime('now')\"",
        'q = "UPDATE users SET seen = :now"',
    ),
    (layers.hides_its_effects, "turf_saas/plans.py", "def f(user_id, db): ...", "def f(db, user_id): ..."),
    (layers.hides_its_effects, "turf_saas/plans.py", "def f(db, plan, now): ...", "def f(db, now, plan): ..."),
    (layers.hides_its_effects, "turf_saas/plans.py", "def f(db, gateway, now): ...", "def f(month, now): ..."),
    (layers.floats_money, "turf_saas/tax.py", "share = line.amount_cents / 2", "share = line.amount_cents // 2"),
    (layers.floats_money, "turf_saas/tax.py", "float(net_cents)", "Decimal(net_cents)"),
    (layers.reckons_money, "api_v1/wire.py", "due = amount_cents - paid_cents", "due = invoice.due_cents"),
    (rooms.too_long, "turf_saas/plans.py", "x = 1\n" * 401, "x = 1\n" * 400),
    (rooms.long_functions, "turf_saas/plans.py", "def f():\n" + "    x = 1\n" * 70, "def f():\n" + "    x = 1\n" * 69),
    (rooms.unwanted_words, "turf_saas/plans.py", "x = 1  # TO" + "DO later", "todos = []"),
    (rooms.unwanted_words, "docs/api.md", "run /op" + "t/tv/bin/python", "run python"),
    (rooms.unwanted_words, "docs/api.md", "from py" + "pi.org", "from the registry"),
    (rooms.skips_by_mark, "tests/x.py", "@pytest.mark.skip" + "\ndef test_x(): ...", "pytest.skip('no server')"),
    (rooms.skips_by_mark, "tests/x.py", "pytestmark = pytest.mark.xfail", "pytestmark = pytest.mark.usefixtures('x')"),
    (rooms.pretends, "tests/x.py", "from unittest import mock", "from unittest import TestCase"),
    (rooms.pretends, "tests/x.py", "from unittest.mock import patch", "import mockery"),
    (rooms.pretends, "tests/x.py", "time.sleep(1)", "while not ready():\n    time.sleep(0.01)"),
    (documents.bad_blocks, "docs/api.md", "```python\nprint(\n```\n", "```python\nprint()\n```\n"),
    (documents.bad_blocks, "docs/api.md", '```json\n{"a": …}\n```\n', '```\n{"a": …}\n```\n'),
]


@pytest.mark.parametrize(
    ("rule", "path", "breach", "plain"),
    [pytest.param(*case, id=f"{case[0].__name__}-{number}") for number, case in enumerate(PLANTED)],
)
def test_the_rule_bites_where_it_should_and_only_there(rule: Rule, path: str, breach: str, plain: str) -> None:
    assert len(rule(Source(path, breach))) == 1
    assert rule(Source(path, plain)) == []


@pytest.mark.parametrize(
    ("text", "breaches"),
    [
        ("[a](other.md)", 0),
        ("[a](missing.md)", 1),
        ("[a](other.md#a-heading)", 0),
        ("[a](other.md#no-heading)", 1),
        ("[a](#here)\n\n# Here!", 0),
        ("[a](https://example.com/x)", 0),
        ("`docs/other.md`, `docs/*.md`", 0),
        ("`docs/gone.md`", 1),
        ("`docs/gone*.md`", 1),
    ],
)
def test_a_link_must_lead_somewhere(tmp_path: Path, text: str, breaches: int) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "other.md").write_text("# A heading\n")
    (folder / "this.md").write_text(text)
    assert len(documents.broken_links(Source("docs/this.md", text), tmp_path)) == breaches


@pytest.mark.parametrize(
    ("sentences", "breaches"),
    [
        ({"fr": "Limite {pct}", "en": "Limit {pct}"}, 0),
        ({"fr": "Limite {pct}", "en": "Limit {percent}"}, 1),
        ({"fr": "Limite {pct}", "en": "Limit"}, 1),
        ({"fr": "Limite"}, 1),
        ({"fr": "Limite", "en": " "}, 1),
    ],
)
def test_both_languages_say_the_same(sentences: dict[str, str], breaches: int) -> None:
    assert len(messages.unequal_sentences({"limit": sentences})) == breaches


CATALOGUE = {
    "not_found": {"fr": "Introuvable.", "en": "Not found."},
    "too_large": {"fr": "{limit} au plus.", "en": "{limit} at most."},
}


@pytest.mark.parametrize(
    ("text", "breaches"),
    [
        ("raise NotFound('not_found')", 0),
        ("raise NotFound('not_fuond')", 1),
        ("raise NotFound('not_found' if here else 'gone')", 1),
        ("raise errors.Conflict('gone')", 1),
        ("raise Malformed('too_large', limit=3)", 0),
        ("raise Malformed('too_large', limits=3)", 1),
        ("raise Malformed('too_large', **params)", 0),
        ("say('gone', 'fr')", 1),
        ("Fault('/a', 'gone', {})", 1),
        ("Fault('/a', 'too_large', {'limit': 1})", 0),
        ("Fault('/a', 'too_large', {})", 1),
        ("_CODES = {'int_type': 'gone'}", 1),
        ("_CODES: dict[str, str] = {'int_type': 'not_found'}", 0),
    ],
)
def test_a_code_needs_its_sentence_and_what_the_sentence_names(text: str, breaches: int) -> None:
    assert len(messages.codes_without_a_sentence(Source("api_v1/x.py", text), CATALOGUE)) == breaches


def test_a_sentence_that_nothing_says_is_found() -> None:
    said = [Source("a.py", "raise NotFound('not_found')"), Source("b.py", "code = f'alert_{level}'; url = f'{a}_{b}'")]
    catalogue = {**CATALOGUE, "alert_soft": {}}
    assert messages.sentences_never_said(said, catalogue) == ["too_large has a sentence that nothing says"]


def test_a_command_needs_a_document_and_a_help_text() -> None:
    group = click.Group("billing")
    keys = click.Group("keys")
    keys.add_command(click.Command("create", help="Make a key."))
    group.add_command(keys)
    group.add_command(click.Command("status"))
    typed = documents.commands(group, "flask billing")
    assert list(typed) == ["flask billing keys create", "flask billing status"]

    document = Source("README.md", "`flask billing\nkeys create` and `flask billing status-all`")
    assert documents.undocumented(typed, [document]) == [
        "`flask billing status` is in no document",
        "`flask billing status` has no help",
    ]


@pytest.mark.parametrize(
    ("changelog", "breaches"),
    [
        ("# Changes\n\n## 1.1.0 - unreleased\n\n- A month is shown.\n", 0),
        ("# Changes\n\n## [1.1.0] - 2026-01-01\n\n- A month is shown.\n", 0),
        ("# Changes\n\n## 1.0.0\n\n- A month is shown.\n", 1),
        ("# Changes\n\n## 1.1.0\n\n## 1.0.0\n\n- A month is shown.\n", 1),
        ("", 1),
    ],
)
def test_the_current_version_must_stand_first_in_the_changelog(changelog: str, breaches: int) -> None:
    assert len(documents.unreleased(changelog, "1.1.0")) == breaches


def test_a_table_without_a_tenant_is_found(db: Connection) -> None:
    before = without_tenant(db)
    with atomic(db):
        execute(db, "CREATE TABLE planted (id INTEGER)")
        execute(db, "CREATE TABLE planted_well (id INTEGER, tenant_id INTEGER)")
    assert without_tenant(db) - before == {"planted"}


def test_a_record_that_lacks_a_column_or_has_another_order_is_found(db: Connection) -> None:
    with atomic(db):
        execute(db, "CREATE TABLE planted (id INTEGER, plan TEXT)")
    assert unlike_its_table(db, make_dataclass("Same", ["id", "plan"]), "planted") == []
    assert len(unlike_its_table(db, make_dataclass("Fewer", ["id"]), "planted")) == 1
    assert len(unlike_its_table(db, make_dataclass("Turned", ["plan", "id"]), "planted")) == 1

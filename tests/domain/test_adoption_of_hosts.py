"""What a host has hung on the reference's tables stays; what is not the reference's stops the migration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

import billing_db
from billing_db import Connection, DatabaseRefused, RuleBroken, atomic, execute
from tests import postgres
from tests.domain import reference_database as reference
from tests.domain.reference_database import everything, insert, invoice, log, rows, script
from tests.migrated import MIGRATIONS
from turf_saas import schema
from turf_saas.schema import MigrationReport
from turf_saas.settings import read_settings

NOW = datetime(2026, 6, 1, 8, 0, tzinfo=UTC)
Make = Callable[..., Connection]


@pytest.fixture
def make(empty_url: str) -> Iterator[Make]:
    """A reference database, on both engines in turn."""
    opened: list[Connection] = []

    def created(**how: Any) -> Connection:
        opened.append(reference.create(empty_url, **how))
        return opened[-1]

    yield created
    for db in opened:
        db.close()


@pytest.fixture
def empty(empty_url: str) -> Iterator[Connection]:
    db = billing_db.connect(empty_url)
    yield db
    db.close()


@pytest.fixture
def on_postgresql(cluster: postgres.Cluster) -> Iterator[Connection]:
    """An empty database of PostgreSQL, for what is only there."""
    url = cluster.new_database()
    db = billing_db.connect(url)
    yield db
    db.close()
    cluster.drop_database(url)


def adopt(db: Connection, **settings: str) -> MigrationReport:
    return schema.migrate(db, NOW, read_settings({"TURF_SAAS_DB": "unused", **settings}))


def names_of(db: Connection, kind: str) -> set[str]:
    if billing_db.engine(db) == "sqlite":
        found = rows(db, "SELECT name FROM sqlite_master WHERE type = :kind AND sql IS NOT NULL", kind=kind)
    elif kind == "index":
        found = rows(db, "SELECT CAST(indexname AS TEXT) FROM pg_indexes WHERE schemaname = 'public'")
    else:
        found = rows(db, "SELECT CAST(tgname AS TEXT) FROM pg_trigger WHERE NOT tgisinternal")
    return {name for (name,) in found}


# -- what the host has added ---------------------------------------------------------------------------


def test_further_columns_keep_their_values_and_defaults(make: Make) -> None:
    device = 'ALTER TABLE consumption_log ADD COLUMN "Device No" TEXT;'
    db = make(more=f"{device} ALTER TABLE invoices ADD COLUMN paper INTEGER DEFAULT 7;")
    insert(db, "consumption_log", {**log(), "Device No": "a:1 %s"}, log(2))
    insert(db, "invoices", {**invoice(), "paper": 8})
    adopt(db)
    assert rows(db, 'SELECT "Device No" FROM consumption_log ORDER BY id') == [("a:1 %s",), (None,)]
    insert(db, "invoices", invoice("FACT-202605-0002"))
    assert rows(db, "SELECT paper FROM invoices ORDER BY id") == [(8,), (7,)]


def test_of_merged_rows_the_first_ones_further_columns_stay(make: Make) -> None:
    db = make(
        more="ALTER TABLE consumption_log ADD COLUMN device TEXT; ALTER TABLE consumption_log ADD COLUMN kind TEXT;"
    )
    insert(db, "consumption_log", {**log(endpoint=None), "device": "a"}, {**log(endpoint=None), "device": "b"})
    adopt(db)
    assert rows(db, "SELECT api_calls, device FROM consumption_log") == [(2, "a")]


def test_a_further_default_may_be_an_expression(make: Make) -> None:
    table = "CREATE TABLE billing_events (id {pk}, event_type TEXT, seen TEXT DEFAULT ({now}));"
    db = make(more=f"DROP TABLE billing_events; {table}")
    insert(db, "billing_events", {"event_type": "x", "seen": "once"})
    adopt(db)
    insert(db, "billing_events", {"event_type": "y"})
    (first,), (second,) = rows(db, "SELECT seen FROM billing_events ORDER BY id")
    assert first == "once"
    assert len(second) == len("2026-01-01 00:00:00")


def test_indexes_are_made_again_unless_one_of_ours_serves_as_well(make: Make) -> None:
    db = make(more="CREATE UNIQUE INDEX my_endpoints ON consumption_log (endpoint, user_id, date);")
    adopt(db)
    assert {"idx_consumption_date", "idx_invoices_status", "my_endpoints"} <= names_of(db, "index")
    assert not {
        "idx_invoices_user",
        "idx_transactions_user",
        "idx_consumption_user",
        "idx_saas_subs_stripe",
    } & names_of(db, "index")


HOST_TRIGGERS = {
    "sqlite": """
        CREATE TABLE seen (number TEXT);
        CREATE TRIGGER {name} AFTER INSERT ON invoices BEGIN INSERT INTO seen VALUES (NEW.invoice_number); END;
        """,
    "postgresql": """
        CREATE TABLE seen (number TEXT);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
            $$BEGIN INSERT INTO seen VALUES (NEW.invoice_number); RETURN NULL; END$$;
        CREATE TRIGGER {name} AFTER INSERT ON invoices FOR EACH ROW EXECUTE FUNCTION note();
        """,
}


def test_a_hosts_trigger_fires_for_new_rows_and_not_for_adopted_ones(make: Make, engine: str) -> None:
    db = make()
    insert(db, "invoices", invoice())
    script(db, HOST_TRIGGERS[engine].format(name="host_sees"))
    adopt(db)
    insert(db, "invoices", invoice("FACT-202605-0002"))
    assert rows(db, "SELECT number FROM seen") == [("FACT-202605-0002",)]
    assert rows(db, "SELECT COUNT(*) FROM billing_status_history") == [(2,)]


def test_a_hosts_trigger_under_a_name_of_ours_is_left_out_and_said_so(make: Make, engine: str) -> None:
    db = make()
    ours = {"sqlite": "invoices_opened", "postgresql": "invoices_noted"}[engine]
    script(db, HOST_TRIGGERS[engine].format(name=ours))
    report = adopt(db)
    assert f"The trigger {ours} of the old invoices was left out: billing has one." in report.sentences
    insert(db, "invoices", invoice())
    assert rows(db, "SELECT COUNT(*) FROM seen") == [(0,)]
    assert rows(db, "SELECT COUNT(*) FROM billing_status_history") == [(1,)]


def test_a_table_of_the_host_that_points_at_invoices_goes_on_pointing(make: Make, engine: str) -> None:
    db = make(more="CREATE TABLE letters (id {pk}, invoice_id BIGINT REFERENCES invoices (id));")
    insert(db, "invoices", invoice())
    insert(db, "letters", {"invoice_id": 1})
    adopt(db)
    assert rows(db, "SELECT invoice_id FROM letters") == [(1,)]
    with pytest.raises(RuleBroken):
        insert(db, "letters", {"invoice_id": 2})


def test_a_row_of_the_host_that_points_at_a_rejected_invoice_blocks_nothing(make: Make) -> None:
    db = make(loose=True)
    insert(db, "invoices", invoice(status="lost", currency="EUR"))
    script(db, "CREATE TABLE letters (invoice_id BIGINT REFERENCES invoices (id));")
    insert(db, "letters", {"invoice_id": 1})
    assert adopt(db).adopted["invoices"].rejected == 1
    assert rows(db, "SELECT invoice_id FROM letters") == [(1,)]


def test_old_faults_in_the_hosts_own_tables_block_nothing(tmp_path: Any) -> None:
    db = reference.create(str(tmp_path / "host.db"), more="CREATE TABLE pets (owner BIGINT REFERENCES users (id));")
    db.execute("PRAGMA foreign_keys = OFF")
    insert(db, "pets", {"owner": 99})
    db.execute("PRAGMA foreign_keys = ON")
    assert adopt(db).applied == MIGRATIONS
    assert rows(db, "SELECT owner FROM pets") == [(99,)]
    db.close()


# -- whose users ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "key", "first", "second"),
    [
        ("user", "VARCHAR(36)", "0b7c-1", "0b7c-2"),
        ("people", "BIGINT", 11, 12),
        ("Users", "TEXT", "alice", "bob"),
    ],
)
def test_users_of_any_table_and_key_are_billed(
    empty: Connection, table: str, key: str, first: Any, second: Any
) -> None:
    db = empty
    script(db, f'CREATE TABLE "{table}" (uid {key} PRIMARY KEY, name TEXT);')
    insert(db, f'"{table}"', {"uid": first}, {"uid": second})
    report = adopt(db, BILLING_USERS_TABLE=table, BILLING_USERS_ID="uid")
    assert report.users is not None
    assert (report.users.key, report.users.ours) == ("integer" if key == "BIGINT" else "text", False)
    insert(db, "consumption_log", log(first, api_calls=3), log(second, api_calls=4))
    assert rows(db, "SELECT user_id, used FROM usage_counters ORDER BY used") == [(first, 3), (second, 4)]
    with pytest.raises(RuleBroken):
        insert(db, "saas_subscriptions", {"user_id": 99 if key == "BIGINT" else "nobody", "plan": "pro"})


def test_rows_of_users_with_text_keys_are_adopted(empty: Connection) -> None:
    db = empty
    script(db, 'CREATE TABLE "user" (id VARCHAR(36) PRIMARY KEY);')
    insert(db, '"user"', {"id": "a-1"}, {"id": "7"})
    columns = (
        "id INTEGER PRIMARY KEY, user_id VARCHAR(36), date TEXT, api_calls INTEGER, endpoint TEXT, created_at TEXT"
    )
    script(db, f"CREATE TABLE consumption_log ({columns});")
    insert(db, "consumption_log", log("a-1", id=1), log("7", id=2), log("A-1", id=3))
    counts = adopt(db, BILLING_USERS_TABLE="user").adopted["consumption_log"]
    assert (counts.kept, dict(counts.reasons)) == (2, {"there is no such user": 1})
    assert rows(db, "SELECT user_id, used FROM usage_counters ORDER BY user_id") == [("7", 1), ("a-1", 1)]


def test_on_postgresql_a_users_key_may_be_a_uuid_and_times_may_be_times(on_postgresql: Connection) -> None:
    db, key = on_postgresql, "6f0e4b52-4f5e-4a57-8d5c-2f3f6f6f6f6f"
    script(
        db,
        """CREATE TABLE users (id uuid PRIMARY KEY);
           CREATE TABLE consumption_log (
               id SERIAL PRIMARY KEY, user_id uuid REFERENCES users, date DATE, api_calls INTEGER,
               endpoint VARCHAR(50), created_at TIMESTAMPTZ);
           CREATE TABLE saas_subscriptions (id SERIAL PRIMARY KEY, user_id uuid, plan VARCHAR(10), status VARCHAR(10),
               cancel_at_period_end BOOLEAN, created_at TIMESTAMP, settings JSONB DEFAULT '{}');""",
    )
    insert(db, "users", {"id": key})
    insert(db, "consumption_log", log(key, created_at="2026-05-01T12:00:00+02:00"))
    insert(
        db,
        "saas_subscriptions",
        {"user_id": key, "plan": "pro", "status": "active", "cancel_at_period_end": True,
         "created_at": "2026-05-01 12:00:00", "settings": '{"a": 1}'},
    )  # fmt: skip
    adopt(db)
    assert rows(db, "SELECT user_id, date, api_calls, created_at FROM consumption_log") == [
        (key, "2026-05-01", 1, "2026-05-01T10:00:00Z")
    ]
    assert rows(db, "SELECT user_id, plan, cancel_at_period_end, created_at, settings FROM saas_subscriptions") == [
        (key, "pro", 1, "2026-05-01T12:00:00Z", {"a": 1})
    ]
    insert(db, "consumption_log", log(key, "2026-05-02"))
    assert rows(db, "SELECT id FROM consumption_log ORDER BY id") == [(1,), (2,)]
    assert rows(db, "SELECT used FROM usage_counters") == [(2,)]


def test_without_a_users_table_the_rows_say_who_exists(make: Make) -> None:
    db = make(users=False)
    insert(db, "consumption_log", log(5), log(6), log(5, "2026-05-02"))
    insert(db, "saas_subscriptions", {"user_id": 7, "plan": "pro", "status": "active"})
    report = adopt(db)
    assert report.users is not None
    assert report.users.ours
    assert rows(db, "SELECT id FROM users ORDER BY id") == [(5,), (6,), (7,)]
    assert [table.rejected for table in report.adopted.values()] == [0, 0, 0, 0, 0]


@pytest.mark.parametrize(("setting", "key"), [("integer", "integer"), ("text", "text")])
def test_a_database_without_users_gets_a_small_table_of_ours(empty: Connection, setting: str, key: str) -> None:
    report = adopt(empty, BILLING_USERS_ID_TYPE=setting)
    assert report.users is not None
    assert (report.users.table, report.users.key, report.users.ours) == ("users", key, True)
    insert(empty, "users", {"id": 3} if key == "integer" else {"id": "kim"})
    assert rows(empty, "SELECT id FROM users") == [(3 if key == "integer" else "kim",)]


@pytest.mark.parametrize(
    ("table", "settings", "sentence"),
    [
        ("CREATE TABLE users (id INTEGER);", {}, "users.id is not unique, so no row can point at one user."),
        ("CREATE TABLE users (id REAL PRIMARY KEY);", {}, "a user's key is an integer or a text."),
        ("CREATE TABLE users (uid INTEGER PRIMARY KEY);", {}, "BILLING_USERS_ID: the table users has no column id."),
        ("", {"BILLING_USERS_TABLE": "member"}, "BILLING_USERS_TABLE=member: there is no such table"),
    ],
)
def test_users_that_cannot_be_billed_are_refused(
    empty: Connection, table: str, settings: dict[str, str], sentence: str
) -> None:
    if table:
        script(empty, table)
    before = everything(empty)
    with pytest.raises(DatabaseRefused) as refused:
        adopt(empty, **settings)
    assert sentence in str(refused.value)
    assert everything(empty) == before


@pytest.mark.parametrize("settings", [{"BILLING_USERS_TABLE": "staff"}, {"BILLING_USERS_ID": "number"}])
def test_a_database_stays_with_the_users_it_was_installed_for(empty: Connection, settings: dict[str, str]) -> None:
    script(empty, "CREATE TABLE users (id INTEGER PRIMARY KEY, number INTEGER UNIQUE);")
    script(empty, "CREATE TABLE staff (id INTEGER PRIMARY KEY);")
    adopt(empty)
    other = read_settings({"TURF_SAAS_DB": "unused", **settings})
    for ask in (schema.is_current, schema.rehearse, lambda db, given: schema.migrate(db, NOW, given)):
        with pytest.raises(
            DatabaseRefused, match=r"was installed for users\.id: set them back, or use another database"
        ):
            ask(empty, other)


# -- what is not the reference's -----------------------------------------------------------------------

TAKEN = {
    "CREATE TABLE invoices (id INTEGER PRIMARY KEY, total TEXT);": "invoices (without invoice_number)",
    "CREATE TABLE saas_subscriptions (id VARCHAR(9) PRIMARY KEY, user_id INTEGER, plan TEXT, status TEXT);":
        "saas_subscriptions (id is ",
    "CREATE TABLE saas_subscriptions (id INTEGER, user_id INTEGER, plan TEXT, status TEXT, tenant_id TEXT);":
        "saas_subscriptions (with a column tenant_id of its own)",
    "CREATE TABLE billing_events (id INTEGER PRIMARY KEY, what TEXT);": "billing_events (without stripe_event_id)",
    "CREATE TABLE billing_events (event_id TEXT, half INTEGER, whole INTEGER GENERATED ALWAYS AS (half * 2) STORED);":
        "billing_events (whole is computed from other columns)",
    "CREATE VIEW consumption_log AS SELECT 1 AS id;": "consumption_log (a view)",
    "CREATE TABLE tenants (id INTEGER PRIMARY KEY);": "tenants (a table)",
    "CREATE TABLE things (id INTEGER); CREATE INDEX invoices_user ON things (id);": "invoices_user (an index)",
    "CREATE TABLE billing_migrations (step TEXT);": "billing_migrations",
}  # fmt: skip


@pytest.mark.parametrize("sql", list(TAKEN))
def test_a_name_that_the_host_uses_otherwise_is_refused(empty: Connection, sql: str) -> None:
    script(empty, "CREATE TABLE users (id INTEGER PRIMARY KEY); " + sql)
    before = everything(empty)
    with pytest.raises(DatabaseRefused) as refused:
        adopt(empty)
    assert TAKEN[sql] in str(refused.value)
    assert "of its own: TURF_SAAS_DB=" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert everything(empty) == before


def test_what_is_missing_in_one_table_spares_the_others_too(make: Make) -> None:
    db = make(more="ALTER TABLE transactions RENAME COLUMN type TO kind_of;")
    insert(db, "consumption_log", log())
    before = everything(db)
    with pytest.raises(DatabaseRefused, match=r"transactions \(without type\)"):
        adopt(db)
    assert everything(db) == before


def test_names_are_compared_as_the_engine_does(engine: str, empty: Connection) -> None:
    script(empty, 'CREATE TABLE "Tenants" (id INTEGER);')
    if engine == "sqlite":
        with pytest.raises(DatabaseRefused, match="tenants"):
            adopt(empty)
    else:
        assert adopt(empty).applied


def test_on_postgresql_views_and_functions_stop_it_as_well(on_postgresql: Connection) -> None:
    db = on_postgresql
    script(db, "CREATE TABLE users (id INTEGER PRIMARY KEY);")
    script(db, reference.TABLES.format(**reference.WORDS["postgresql"]))
    script(db, "CREATE VIEW unpaid AS SELECT * FROM invoices WHERE status = 'pending';")
    before = everything(db)
    with pytest.raises(DatabaseRefused, match="depend on the table invoices"):
        adopt(db)
    assert everything(db) == before
    script(db, "DROP VIEW unpaid; CREATE FUNCTION billing_add_usage() RETURNS void LANGUAGE sql AS '';")
    with pytest.raises(DatabaseRefused, match=r"billing_add_usage \(a function\)"):
        adopt(db)


def test_on_sqlite_a_view_shows_the_adopted_rows(tmp_path: Any) -> None:
    db = reference.create(str(tmp_path / "host.db"), more="CREATE VIEW v AS SELECT invoice_number AS n FROM invoices;")
    insert(db, "invoices", invoice())
    adopt(db)
    assert rows(db, "SELECT n FROM v") == [("FACT-202605-0001",)]
    db.close()


# -- the plan ------------------------------------------------------------------------------------------


def test_the_plan_says_what_migrating_does_and_does_nothing(make: Make) -> None:
    db = make(loose=True)
    insert(db, "consumption_log", log(endpoint=None), log(endpoint=None), log(date="hier"), log(99))
    insert(db, "saas_subscriptions", {"user_id": 1, "plan": "pro", "status": "active"})
    insert(db, "saas_subscriptions", {"user_id": 1, "plan": "pro", "status": "active"})
    before = everything(db)
    settings = read_settings({"TURF_SAAS_DB": "unused"})
    planned = schema.rehearse(db, settings)
    assert everything(db) == before
    done = schema.migrate(db, NOW, settings)
    assert planned == done
    assert planned.sentences == [
        f"Migrations: {', '.join(MIGRATIONS)}.",
        "Users: the host's table, users.id, integer keys.",
        (
            "consumption_log: 4 rows, 1 kept, 1 merged into others, 2 set apart in billing_rejects "
            "(date is not a day: 1; there is no such user: 1)."
        ),
        "invoices: 0 rows, 0 kept.",
        "transactions: 0 rows, 0 kept.",
        "saas_subscriptions: 2 rows, 2 kept, changed: the user has a newer subscription: canceled: 1.",
        "billing_events: 0 rows, 0 kept.",
    ]
    assert schema.rehearse(db, settings).sentences == ["The database is up to date."]


def test_the_plan_of_an_empty_database_leaves_it_empty(empty: Connection) -> None:
    settings = read_settings({"TURF_SAAS_DB": "unused"})
    assert schema.rehearse(empty, settings).sentences == [
        f"Migrations: {', '.join(MIGRATIONS)}.",
        "Users: a small table of billing's own, users.id, integer keys.",
    ]
    assert everything(empty) == {"objects": []}


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_key_to_another_column_than_the_id_is_refused_before_it_would_break(make: Make) -> None:
    db = make()
    with atomic(db):
        execute(db, "CREATE TABLE receipts (number TEXT REFERENCES invoices (invoice_number))")
    before = everything(db)
    with pytest.raises(DatabaseRefused, match=r"invoices \(receipts points at another column of it than id\)"):
        adopt(db)
    assert everything(db) == before


@pytest.mark.parametrize("engine", ["postgresql"])
@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE invoices ENABLE ROW LEVEL SECURITY",
        "GRANT SELECT ON invoices TO PUBLIC",
        "CREATE PUBLICATION p FOR TABLE invoices",
    ],
)
def test_what_belongs_to_a_table_itself_is_not_dropped_in_silence(make: Make, sql: str) -> None:
    db = make()
    with atomic(db):
        db.execute(sql)
    with pytest.raises(DatabaseRefused, match=r"invoices \(with row security, rules, grants or a publication"):
        adopt(db)


@pytest.mark.parametrize("engine", ["sqlite"])
def test_who_gets_a_deleted_users_number_gets_nothing_else_of_his(make: Make) -> None:
    db = make()
    adopt(db)
    with atomic(db):
        execute(db, "DELETE FROM saas_subscriptions WHERE user_id = 2")
        execute(db, "INSERT INTO saas_subscriptions (user_id, plan, status) VALUES (2, 'pro', 'active')")
        execute(db, "INSERT INTO billing_accounts (user_id, role) VALUES (2, 'admin')")
        execute(
            db,
            """INSERT INTO billing_api_keys (id, user_id, secret_sha256, scopes)
               VALUES ('00000000', 2, 'x', 'billing.read')""",
        )
    db.execute("PRAGMA foreign_keys = OFF")  # as another program's connection has it
    with atomic(db):
        execute(db, "DELETE FROM users WHERE id = 2")
    assert rows(db, "SELECT role FROM billing_accounts WHERE user_id = 2") == []
    assert rows(db, "SELECT id FROM billing_api_keys WHERE user_id = 2") == []
    assert rows(db, "SELECT status FROM saas_subscriptions WHERE user_id = 2 AND status = 'active'") == []

"""What only a loose database lets in is kept, set apart with its reason, or refused in one sentence."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import billing_db
from billing_db import Connection, DatabaseRefused, UniqueConflict
from tests import postgres
from tests.domain import reference_database as reference
from tests.domain.reference_database import everything, insert, invoice, log, rows, script
from tests.domain.tables import change
from turf_saas import schema
from turf_saas.doctor import examine_database
from turf_saas.schema import MigrationReport
from turf_saas.schema.preflight import REFERENCE
from turf_saas.settings import Settings, read_settings

NOW = datetime(2026, 6, 1, 8, 0, tzinfo=UTC)
Make = Callable[..., Connection]
USERS = "CREATE TABLE users (id INTEGER PRIMARY KEY); INSERT INTO users VALUES (1), (2);"
LOG = "user_id INTEGER, date TEXT, api_calls BIGINT, endpoint TEXT, created_at TEXT"
PLANS = "user_id INTEGER, plan TEXT, status TEXT"
# 'café' as Latin-1 writes it, which is not UTF-8
CAFE = "CAST(x'636166e9' AS TEXT)"


@pytest.fixture
def make(empty_url: str) -> Iterator[Make]:
    """A loose reference database, on both engines in turn."""
    opened: list[Connection] = []

    def created(more: str = "") -> Connection:
        opened.append(reference.create(empty_url, loose=True))
        if more:
            script(opened[-1], more)
        return opened[-1]

    yield created
    for db in opened:
        db.close()


@pytest.fixture
def empty(empty_url: str) -> Iterator[Connection]:
    db = billing_db.connect(empty_url)
    script(db, USERS)
    yield db
    db.close()


@pytest.fixture
def on_sqlite(tmp_path: Path) -> Iterator[Connection]:
    """A loose reference database of SQLite, for what only SQLite lets in."""
    db = reference.create(str(tmp_path / "host.db"), loose=True)
    yield db
    db.close()


@pytest.fixture
def on_postgresql(cluster: postgres.Cluster) -> Iterator[Connection]:
    """Two users on PostgreSQL, for what is only there."""
    url = cluster.new_database()
    db = billing_db.connect(url)
    script(db, USERS)
    yield db
    db.close()
    cluster.drop_database(url)


def settings(**given: str) -> Settings:
    return read_settings({"TURF_SAAS_DB": "unused", **given})


def adopt(db: Connection, **given: str) -> MigrationReport:
    return schema.migrate(db, NOW, settings(**given))


def refused(db: Connection, **given: str) -> str:
    """The sentence of a refusal that changed nothing."""
    before = everything(db)
    with pytest.raises(DatabaseRefused) as refusal:
        adopt(db, **given)
    assert everything(db) == before
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def set_apart(db: Connection) -> list[tuple[str, dict[str, Any]]]:
    found = rows(db, "SELECT reason, row_json FROM billing_rejects ORDER BY id")
    return [(reason, json.loads(row)) for reason, row in found]


# -- texts that are not UTF-8 --------------------------------------------------------------------------


def test_calls_count_though_their_endpoint_is_not_utf_8(on_sqlite: Connection) -> None:
    db = on_sqlite
    for calls, endpoint in ((3, CAFE), (4, CAFE), (5, "'/odds'"), (6, "CAST(x'2f63c3a9' AS BLOB)")):
        insert(db, "consumption_log", log(api_calls=calls, endpoint=None))
        change(db, f"UPDATE consumption_log SET endpoint = {endpoint} WHERE endpoint IS NULL")
    counts = adopt(db).adopted["consumption_log"]
    assert (counts.rows, counts.kept, counts.merged, counts.rejected) == (4, 3, 1, 0)
    assert dict(counts.changes) == {"endpoint is not UTF-8: kept as far as it can be read": 2}
    assert rows(db, "SELECT endpoint, api_calls FROM consumption_log ORDER BY api_calls") == [
        ("/odds", 5),
        ("/cé", 6),
        ("caf\ufffd", 7),
    ]
    assert rows(db, "SELECT used FROM usage_counters") == [(18,)]
    assert [row["endpoint"] for _, row in set_apart(db)] == [{"text": "caf\ufffd", "hex": "636166e9"}] * 2


def test_a_log_row_that_is_refused_for_something_else_is_told_once(on_sqlite: Connection) -> None:
    db = on_sqlite
    change(
        db,
        f"INSERT INTO consumption_log (user_id, date, api_calls, endpoint) VALUES (1, CAST(x'ff' AS TEXT), 1, {CAFE})",
    )
    counts = adopt(db).adopted["consumption_log"]
    assert (dict(counts.reasons), dict(counts.changes)) == ({"date is not a day": 1}, {})
    ((_, row),) = set_apart(db)
    assert (row["date"]["hex"], row["endpoint"]["hex"]) == ("ff", "636166e9")


def test_what_only_people_read_refuses_no_row_and_what_programs_read_does(on_sqlite: Connection) -> None:
    db = on_sqlite
    money = {"user_id": 1, "type": "credit", "amount_cents": 5, "currency": "EUR"}
    insert(db, "transactions", money, {**money, "description": b"caf\xc3\xa9"}, {**money, "description": b"caf\xe9"})
    insert(db, "invoices", invoice(status="paid", currency="EUR"))
    change(db, f"UPDATE transactions SET description = {CAFE} WHERE description IS NULL")
    change(db, f"UPDATE invoices SET invoice_number = {CAFE}")
    report = adopt(db)
    told = "description is not UTF-8: kept as far as it can be read"
    assert rows(db, "SELECT description FROM transactions ORDER BY id") == [("caf\ufffd",), ("café",), ("caf\ufffd",)]
    assert dict(report.adopted["transactions"].changes) == {told: 2}
    assert dict(report.adopted["invoices"].reasons) == {"invoice_number is not UTF-8": 1}
    assert [(reason, row.get("invoice_number", row.get("description"))) for reason, row in set_apart(db)] == [
        ("invoice_number is not UTF-8", {"text": "caf\ufffd", "hex": "636166e9"}),
        (told, {"text": "caf\ufffd", "hex": "636166e9"}),
        (told, {"hex": "636166e9"}),
    ]


def test_a_further_column_keeps_its_bytes(on_sqlite: Connection) -> None:
    db = on_sqlite
    script(db, "ALTER TABLE invoices ADD COLUMN note TEXT;")
    insert(db, "invoices", invoice(status="paid", currency="EUR"))
    change(db, f"UPDATE invoices SET note = {CAFE}")
    assert adopt(db).adopted["invoices"].kept == 1
    assert rows(db, "SELECT hex(note) FROM invoices") == [("636166E9",)]


def test_a_user_whose_id_nobody_can_write_has_no_rows(tmp_path: Path) -> None:
    db = billing_db.connect(str(tmp_path / "host.db"))
    script(
        db, f"CREATE TABLE users (id TEXT PRIMARY KEY); CREATE TABLE consumption_log (id INTEGER PRIMARY KEY, {LOG});"
    )
    for user_id in ("'a'", "x'61'", CAFE):
        change(db, f"INSERT INTO users VALUES ({user_id})")
        change(db, f"INSERT INTO consumption_log (user_id, date, api_calls) VALUES ({user_id}, '2026-05-01', 2)")
    counts = adopt(db).adopted["consumption_log"]
    # the bytes x'61' are the letter a, and the rows of the user a
    assert (counts.kept, counts.merged, dict(counts.reasons)) == (1, 1, {"there is no such user": 1})
    assert rows(db, "SELECT user_id, used FROM usage_counters") == [("a", 4)]
    db.close()


def test_the_connection_reads_texts_afterwards_as_before(on_sqlite: Connection) -> None:
    before = on_sqlite.text_factory
    adopt(on_sqlite)
    assert on_sqlite.text_factory is before


# -- ids -----------------------------------------------------------------------------------------------


def test_log_rows_without_an_id_of_their_own_get_a_new_one(make: Make) -> None:
    db = make(f"DROP TABLE consumption_log; CREATE TABLE consumption_log (id BIGINT, {LOG});")
    insert(db, "consumption_log", log(id=None, api_calls=1), log(id=7, date="2026-05-02", api_calls=2))
    insert(db, "consumption_log", log(id=7, date="2026-05-03", api_calls=4), log(id=None, api_calls=8))
    insert(db, "consumption_log", log(id=7, date="2026-05-02", api_calls=16), log(id=None, date="hier"))
    report = adopt(db)
    counts = report.adopted["consumption_log"]
    assert (counts.rows, counts.kept, counts.merged, counts.rejected) == (6, 3, 2, 1)
    assert report.notes == ["consumption_log: 5 rows had no id of their own and were given a new one."]
    # new ids are 7 and the row's place in the table
    assert rows(db, "SELECT id, date, api_calls FROM consumption_log ORDER BY id") == [
        (7, "2026-05-02", 18),
        (8, "2026-05-01", 9),
        (10, "2026-05-03", 4),
    ]
    assert rows(db, "SELECT used FROM usage_counters") == [(31,)]
    assert set_apart(db)[0][1]["id"] is None
    insert(db, "consumption_log", log(date="2026-05-09"))
    assert rows(db, "SELECT MAX(id) FROM consumption_log") == [(14,)]


def test_of_two_invoices_with_one_id_the_first_keeps_it_and_its_money(make: Make) -> None:
    table = reference.TABLES.partition("CREATE TABLE invoices")[2].partition(";")[0]
    loose = reference.RULE.sub("", table).replace("{pk}", "BIGINT").replace("DEFAULT ({now})", "")
    db = make(f"DROP TABLE invoices; CREATE TABLE invoices {loose};")
    same = {"status": "paid", "currency": "EUR"}
    insert(db, "invoices", invoice("A", id=3, **same), invoice("B", id=3, **same), invoice("C", id=None, **same))
    money = {"user_id": 1, "type": "subscription", "amount_cents": 4900, "currency": "EUR"}
    insert(db, "transactions", {**money, "invoice_id": 3}, {**money, "invoice_id": 5})
    report = adopt(db)
    assert rows(db, "SELECT id, invoice_number FROM invoices ORDER BY id") == [(3, "A"), (5, "B"), (6, "C")]
    # nobody's invoice was 5 when the money was booked
    assert rows(db, "SELECT invoice_id FROM transactions ORDER BY id") == [(3,), (None,)]
    assert report.notes == ["invoices: 2 rows had no id of their own and were given a new one."]


def test_ids_that_are_no_numbers_are_given_new_ones(on_sqlite: Connection) -> None:
    db = on_sqlite
    script(db, f"DROP TABLE saas_subscriptions; CREATE TABLE saas_subscriptions (id INT PRIMARY KEY, {PLANS});")
    plan = {"user_id": 1, "plan": "pro", "status": "canceled"}
    given = ("abc", None, None, 1.5, b"\0", -4)
    insert(db, "saas_subscriptions", *[{**plan, "id": each} for each in given])
    report = adopt(db)
    assert report.adopted["saas_subscriptions"].kept == 6
    assert report.notes == ["saas_subscriptions: 5 rows had no id of their own and were given a new one."]
    # new ones are the row's place in the table, as no id is above 0
    assert rows(db, "SELECT id FROM saas_subscriptions ORDER BY id") == [(-4,), (1,), (2,), (3,), (4,), (5,)]


@pytest.mark.parametrize(("last", "is_taken"), [(2**62 - 1, True), (2**62, True), (2**62 + 1, False)])
def test_a_table_whose_ids_are_used_up_is_refused(on_sqlite: Connection, last: int, is_taken: bool) -> None:
    db = on_sqlite
    insert(db, "invoices", invoice(id=last, status="paid", currency="EUR"))
    if is_taken:
        assert adopt(db).adopted["invoices"].kept == 1
        insert(db, "invoices", invoice("FACT-202605-0002"))
        assert rows(db, "SELECT MAX(id) FROM invoices") == [(last + 1,)]
    else:
        assert f"The ids of the table invoices are used up ({last})" in refused(db)


# -- names ---------------------------------------------------------------------------------------------


def test_a_hosts_column_is_never_taken_for_one_of_the_adoption(make: Make) -> None:
    names = ("billing_key", "billing_reason", "row_id", "extra_0", "extra_1", "place", "why", "given", "day", "told")
    tables = ("invoices", "consumption_log", "saas_subscriptions")
    db = make(" ".join(f"ALTER TABLE {table} ADD COLUMN {name} TEXT;" for table in tables for name in names))
    host = {name: f"the host's {name}" for name in names}
    good = {"invoices": invoice(status="paid", currency="EUR"), "consumption_log": log(),
            "saas_subscriptions": {"user_id": 1, "plan": "pro", "status": "active"}}  # fmt: skip
    for table in tables:
        insert(db, table, {**good[table], **host}, {**good[table], **host, "user_id": 99})
    report = adopt(db)
    assert [(report.adopted[table].kept, report.adopted[table].rejected) for table in tables] == [(1, 1)] * 3
    for table in tables:
        assert rows(db, f"SELECT {', '.join(names)} FROM {table}") == [tuple(host.values())]
    assert [{name: row[name] for name in names} for _, row in set_apart(db)] == [host] * 3


def test_on_sqlite_users_are_found_by_their_names_in_any_case(tmp_path: Path) -> None:
    db = billing_db.connect(str(tmp_path / "host.db"))
    script(db, "CREATE TABLE Members (Uid INTEGER PRIMARY KEY); INSERT INTO Members VALUES (1);")
    users = adopt(db, BILLING_USERS_TABLE="members", BILLING_USERS_ID="UID").users
    assert users is not None
    assert (users.table, users.id) == ("Members", "Uid")
    for table, key in (("members", "UID"), ("Members", "Uid"), ("MEMBERS", "uid")):
        named = settings(BILLING_USERS_TABLE=table, BILLING_USERS_ID=key)
        assert schema.is_current(db, named)
        assert "Users are in Members.Uid (integer, the host's)." in [
            said.message for said in examine_database(db, NOW, named)
        ]
    insert(db, "consumption_log", log())
    with pytest.raises(DatabaseRefused, match=r"was installed for Members\.Uid"):
        schema.is_current(db, settings(BILLING_USERS_TABLE="member", BILLING_USERS_ID="Uid"))
    db.close()


def test_on_postgresql_users_are_found_by_their_exact_names(on_postgresql: Connection) -> None:
    db = on_postgresql
    script(db, 'CREATE TABLE "Members" ("Uid" INTEGER PRIMARY KEY);')
    assert "there is no such table" in refused(db, BILLING_USERS_TABLE="members", BILLING_USERS_ID="Uid")
    assert "has no column uid" in refused(db, BILLING_USERS_TABLE="Members", BILLING_USERS_ID="uid")
    assert adopt(db, BILLING_USERS_TABLE="Members", BILLING_USERS_ID="Uid").applied
    with pytest.raises(DatabaseRefused, match=r"was installed for Members\.Uid"):
        schema.is_current(db, settings(BILLING_USERS_TABLE="members", BILLING_USERS_ID="Uid"))


def test_a_table_of_billing_cannot_hold_the_users(empty: Connection) -> None:
    script(empty, f"CREATE TABLE saas_subscriptions (id INTEGER PRIMARY KEY, {PLANS}, UNIQUE (user_id));")
    said = refused(empty, BILLING_USERS_TABLE="saas_subscriptions", BILLING_USERS_ID="user_id")
    assert said == "BILLING_USERS_TABLE=saas_subscriptions: that is a table of billing, not of users."


# -- defaults ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "default",
    [
        '"x y"', '"a""b"', '"it\'s"', '"true"', '"null"', "'it''s'", "'x:y %s'", "`b t`", "[b r]", "word", "key",
        "true", "FALSE", "null", "-5", "+5.5", "1e3", "X'00ff'", "(1 + 2)", "('a' || 'b')", "(2 -- two\n)", "''", '""',
    ],
)  # fmt: skip
def test_on_sqlite_a_further_default_means_what_it_meant(on_sqlite: Connection, default: str) -> None:
    db = on_sqlite
    columns = f"plain DEFAULT {default}, a_text TEXT DEFAULT {default}, a_number NUMERIC DEFAULT {default}"
    made = f"CREATE TABLE saas_subscriptions (id INTEGER PRIMARY KEY, {PLANS}, {columns})"
    change(db, "DROP TABLE saas_subscriptions")
    change(db, made)
    insert(db, "saas_subscriptions", {"user_id": 1, "plan": "pro", "status": "active"})
    adopt(db)
    insert(db, "saas_subscriptions", {"user_id": 2, "plan": "pro", "status": "active"})
    before, after = rows(
        db, "SELECT plain, typeof(plain), a_text, typeof(a_text), a_number FROM saas_subscriptions ORDER BY id"
    )
    assert after == before


# -- rules of the host ---------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["code TEXT UNIQUE", "code TEXT PRIMARY KEY", "code TEXT, CONSTRAINT c UNIQUE (code)"])
def test_what_the_host_keeps_unique_stays_so(empty: Connection, rule: str) -> None:
    script(empty, f"CREATE TABLE saas_subscriptions ({PLANS}, {rule});")
    insert(empty, "saas_subscriptions", {"user_id": 1, "plan": "pro", "status": "active", "code": "c"})
    assert adopt(empty).notes == []
    change(
        empty,
        """INSERT INTO saas_subscriptions (user_id, plan, status, code) VALUES (1, 'free', 'active', 'c')
           ON CONFLICT (code) DO UPDATE SET plan = excluded.plan""",
    )
    assert rows(empty, "SELECT plan FROM saas_subscriptions") == [("free",)]
    with pytest.raises(UniqueConflict):
        insert(empty, "saas_subscriptions", {"user_id": 2, "plan": "pro", "status": "active", "code": "c"})


def test_the_references_own_rules_are_billings_already(empty_url: str, engine: str) -> None:
    db = reference.create(empty_url)
    assert adopt(db).notes == []
    indexes = {
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'index' AND sql LIKE 'CREATE UNIQUE%'",
        "postgresql": "SELECT CAST(indexname AS TEXT) FROM pg_indexes WHERE tablename = 'invoices'",
    }
    assert not [name for (name,) in rows(db, indexes[engine]) if name == "invoices_invoice_number_key"]
    db.close()


def test_a_rule_of_the_host_that_binds_billing_too_is_kept_and_said(empty: Connection) -> None:
    script(empty, f"CREATE TABLE saas_subscriptions (id INTEGER PRIMARY KEY, {PLANS}, UNIQUE (user_id));")
    insert(empty, "saas_subscriptions", {"id": 1, "user_id": 1, "plan": "pro", "status": "active"})
    assert adopt(empty).notes == ["saas_subscriptions stays unique by user_id, also for what billing writes."]
    change(
        empty,
        """INSERT INTO saas_subscriptions (user_id, plan, status) VALUES (1, 'free', 'active')
           ON CONFLICT (user_id) DO UPDATE SET plan = excluded.plan""",
    )
    assert rows(empty, "SELECT plan FROM saas_subscriptions") == [("free",)]


def test_a_rule_that_the_adopted_rows_would_break_is_refused_by_its_columns(empty: Connection) -> None:
    script(empty, f"CREATE TABLE saas_subscriptions (id INTEGER PRIMARY KEY, {PLANS}, UNIQUE (user_id, status));")
    plan = {"user_id": 1, "plan": "pro"}
    insert(
        empty, "saas_subscriptions", {**plan, "id": 1, "status": "canceled"}, {**plan, "id": 2, "status": "Canceled"}
    )
    assert "The rule UNIQUE (user_id, status) cannot be made again" in refused(empty)


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        ("user_id, date, endpoint", None),
        ("endpoint, date, user_id", None),
        ("device", None),
        ("user_id, date", "consumption_log (unique by user_id, date)"),
        ("user_id, date, endpoint, device", "consumption_log (unique by user_id, date, endpoint, device)"),
    ],
)
def test_a_log_that_is_counted_by_something_else_is_refused(empty: Connection, columns: str, fault: str | None) -> None:
    script(empty, f"CREATE TABLE consumption_log (id INTEGER PRIMARY KEY, {LOG}, device TEXT, UNIQUE ({columns}));")
    if fault is None:
        assert adopt(empty).applied
    else:
        assert fault in refused(empty)


def test_a_table_that_is_numbered_by_another_column_is_refused(empty: Connection, engine: str) -> None:
    serial = {"sqlite": "INTEGER PRIMARY KEY", "postgresql": "SERIAL PRIMARY KEY"}[engine]
    script(empty, f"CREATE TABLE saas_subscriptions (number {serial}, {PLANS});")
    assert "saas_subscriptions (its rows are numbered by number)" in refused(empty)


# -- what each engine has of its own -------------------------------------------------------------------


def test_on_sqlite_a_table_without_rowids_or_with_its_columns_in_another_order_is_adopted(
    on_sqlite: Connection,
) -> None:
    db = on_sqlite
    script(db, "DROP TABLE saas_subscriptions; DROP TABLE consumption_log;")
    script(db, f"CREATE TABLE saas_subscriptions (code TEXT PRIMARY KEY, {PLANS}, team TEXT NOT NULL) WITHOUT ROWID;")
    script(db, "CREATE TABLE CONSUMPTION_LOG (ENDPOINT TEXT, created_at DATETIME, Api_Calls INT, Date DATE, "
               "User_Id INT, Id INTEGER PRIMARY KEY);")  # fmt: skip
    insert(db, "saas_subscriptions", {"code": "c", "user_id": 1, "plan": "pro", "status": "active", "team": "t"})
    insert(db, "consumption_log", log(date="2026-05-01 10:00:00.000000", created_at="2026-05-24 09:42:36.123456"))
    insert(db, "consumption_log", log(date=1777593600), log(date="20260502"), log(2, created_at="a" * 19))
    report = adopt(db)
    assert rows(db, "SELECT id, code, team FROM saas_subscriptions") == [(1, "c", "t")]
    # SQLite keeps '20260502' as a number in a column of type DATE, and a number names no day
    assert dict(report.adopted["consumption_log"].reasons) == {"date is not a day": 2}
    assert rows(db, "SELECT id, user_id, date, created_at FROM consumption_log ORDER BY id") == [
        (1, 1, "2026-05-01", "2026-05-24T09:42:36Z"),
        (4, 2, "2026-05-01", "2026-06-01T08:00:00Z"),
    ]


def test_on_sqlite_triggers_that_forbid_every_write_hinder_nothing_and_stay(on_sqlite: Connection) -> None:
    db = on_sqlite
    insert(db, "invoices", invoice(status="paid", currency="EUR"))
    script(
        db,
        """ALTER TABLE invoices ADD COLUMN note TEXT DEFAULT 'n';
           CREATE TRIGGER frozen BEFORE UPDATE ON invoices BEGIN SELECT RAISE(ABORT, 'frozen'); END;
           CREATE TRIGGER kept BEFORE DELETE ON invoices BEGIN SELECT RAISE(ABORT, 'kept'); END;
           CREATE VIEW calls AS SELECT * FROM consumption_log;
           CREATE TRIGGER called INSTEAD OF INSERT ON calls BEGIN
               INSERT INTO consumption_log (user_id, date, api_calls) VALUES (NEW.user_id, NEW.date, NEW.api_calls);
           END;""",
    )
    adopt(db)
    assert rows(db, "SELECT note FROM invoices") == [("n",)]
    with pytest.raises(billing_db.RuleBroken, match="frozen"):
        change(db, "UPDATE invoices SET note = 'm'")
    insert(db, "calls", log(api_calls=5))
    assert rows(db, "SELECT used FROM usage_counters") == [(5,)]


def test_on_postgresql_a_trigger_that_is_turned_off_stays_off(on_postgresql: Connection) -> None:
    db = on_postgresql
    script(db, f"CREATE TABLE saas_subscriptions (id SERIAL PRIMARY KEY, {PLANS});")
    script(
        db,
        """CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no'; END$$;
           CREATE TRIGGER "Never 1" BEFORE INSERT ON saas_subscriptions FOR EACH ROW EXECUTE FUNCTION never();
           ALTER TABLE saas_subscriptions DISABLE TRIGGER "Never 1";""",
    )
    adopt(db)
    insert(db, "saas_subscriptions", {"user_id": 1, "plan": "pro", "status": "active"})
    assert rows(db, "SELECT CAST(tgenabled AS TEXT) FROM pg_trigger WHERE tgname = 'Never 1'") == [("D",)]


def test_on_postgresql_values_that_python_cannot_hold_hinder_nothing(on_postgresql: Connection) -> None:
    db = on_postgresql
    script(
        db,
        f"""CREATE TABLE saas_subscriptions (id SERIAL PRIMARY KEY, {PLANS}, created_at TIMESTAMPTZ, till DATE,
                                             share FLOAT8, tags TEXT[]);
            INSERT INTO saas_subscriptions (user_id, plan, status, created_at, till, share, tags)
            VALUES (1, 'pro', 'active', 'infinity', '-infinity', 'NaN', '{{a}}'),
                   (9, 'pro', 'active', '2026-05-01 12:00+02', '20000-01-01', 'NaN', '{{a}}');""",
    )
    counts = adopt(db).adopted["saas_subscriptions"]
    assert (counts.kept, dict(counts.reasons)) == (1, {"there is no such user": 1})
    assert dict(counts.changes) == {"created_at could not be read": 1}
    assert rows(db, "SELECT created_at, CAST(till AS TEXT), tags FROM saas_subscriptions") == [
        ("2026-06-01T08:00:00Z", "-infinity", ["a"])
    ]
    told = {row["user_id"]: (row["created_at"], row["till"], row["share"], row["tags"]) for _, row in set_apart(db)}
    assert told == {
        1: ("infinity", "-infinity", "NaN", "{a}"),
        9: ("2026-05-01T10:00:00Z", "20000-01-01", "NaN", "{a}"),
    }


def test_on_postgresql_a_date_is_read_whatever_the_servers_style(on_postgresql: Connection) -> None:
    db = on_postgresql
    table = LOG.replace("date TEXT", "date DATE")
    script(db, f"CREATE TABLE consumption_log (id SERIAL PRIMARY KEY, {table});")
    insert(db, "consumption_log", log(date="2026-05-04"))
    db.execute("SET datestyle = 'German'")
    adopt(db)
    assert rows(db, "SELECT date FROM consumption_log") == [("2026-05-04",)]


def test_on_postgresql_rights_on_single_columns_are_not_dropped_in_silence(on_postgresql: Connection) -> None:
    script(on_postgresql, f"CREATE TABLE saas_subscriptions (id SERIAL PRIMARY KEY, {PLANS});")
    script(on_postgresql, "GRANT SELECT (plan) ON saas_subscriptions TO PUBLIC;")
    assert "saas_subscriptions (with row security, rules, grants" in refused(on_postgresql)


@pytest.mark.parametrize("name", ["reason", "hash", "issued_at", "change_reason"])
def test_a_hosts_column_of_a_name_that_is_ours_alone_is_refused_before_anything_is_changed(
    make: Make, name: str
) -> None:
    db = make(f"ALTER TABLE invoices ADD COLUMN {name} TEXT;")
    assert f"invoices (with a column {name} of its own)" in refused(db)
    assert schema.list_applied(db) == []


def test_every_column_that_a_later_migration_gives_a_table_of_the_reference_is_ours_alone() -> None:
    added = {
        (table, column)
        for migration in schema.migrations("sqlite")
        for table, column in re.findall(r"ALTER TABLE (\w+) ADD COLUMN (\w+)", migration.sql)
    }
    for table in REFERENCE:
        assert {column for of, column in added if of == table.name} <= set(table.ours_alone)

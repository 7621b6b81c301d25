"""The rules of this house, held against every file. tests/test_house_rules_bite.py shows each of them fail."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import is_dataclass

import pytest

import api_v1
from billing_db import Connection
from tests.house import documents, layers, messages, rooms
from tests.house.sources import CODE, ROOT, Source, markdown_files, project_files, python_files
from tests.house.tables import unlike_its_table, without_tenant
from turf_saas import records
from turf_saas.messages import MESSAGES

Rule = Callable[[Source], list[str]]

RULES: list[tuple[str, Rule, list[Source]]] = [
    ("layers import downward only", layers.imports_upwards, python_files(*CODE)),
    ("a layer imports only what is its business", layers.foreign_imports, python_files(*CODE)),
    ("the HTTP layer asks the domain, not the database", layers.asks_a_database, python_files("api_v1")),
    ("the domain looks at no clock", layers.looks_at_a_clock, python_files("turf_saas")),
    ("a signature begins with its effects", layers.hides_its_effects, python_files("turf_saas")),
    ("money is never a float", layers.floats_money, python_files(*CODE)),
    ("the HTTP layer reckons no money", layers.reckons_money, python_files("api_v1")),
    ("no file is too long", rooms.too_long, [file for file in project_files() if file.room != "tests"]),
    ("no function is too long", rooms.long_functions, python_files(*CODE, "bench", "examples")),
    ("nothing is unfinished, nothing names one machine", rooms.unwanted_words, list(project_files())),
    ("no test is left out by a mark", rooms.skips_by_mark, python_files("tests")),
    ("nothing is mocked, nothing sleeps", rooms.pretends, python_files("tests")),
    ("links and paths in documents lead somewhere", lambda file: documents.broken_links(file, ROOT), markdown_files()),
    ("code in documents is code", documents.bad_blocks, markdown_files()),
]


def report(breaches: list[str]) -> None:
    if breaches:
        pytest.fail("\n".join(breaches), pytrace=False)


@pytest.mark.parametrize(("rule", "files"), [pytest.param(rule, files, id=name) for name, rule, files in RULES])
def test_every_file_keeps_the_rule(rule: Rule, files: list[Source]) -> None:
    assert files, "a rule that reads no file finds nothing"
    report([breach for file in files for breach in rule(file)])


def test_every_message_is_there_in_both_languages_with_the_same_placeholders() -> None:
    report(messages.unequal_sentences(MESSAGES))


def test_every_code_that_is_raised_has_a_sentence_and_gives_it_what_it_names() -> None:
    report([found for file in python_files(*CODE) for found in messages.codes_without_a_sentence(file, MESSAGES)])


def test_every_sentence_is_said_somewhere() -> None:
    elsewhere = [file for file in python_files(*CODE) if not file.path.startswith("turf_saas/messages")]
    report(messages.sentences_never_said(elsewhere, MESSAGES))


def test_every_command_is_in_a_document_and_has_help() -> None:
    """Ours hang on the blueprint; Flask shows them as `flask billing …`."""
    typed = documents.commands(api_v1.billing_bp.cli, "flask billing")
    report(documents.undocumented(typed, markdown_files()))


def test_the_changelog_begins_with_the_current_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    report(documents.unreleased((ROOT / "CHANGELOG.md").read_text(), version))


# -- the migrated database ---------------------------------------------------------------------------------

WITHOUT_TENANT = {
    "users": "the host's table: what we know about a user's tenant stands in billing_accounts",
    "tenants": "it is the tenant",
    "billing_installation": "one row about the database itself",
    "billing_migrations": "what was applied to the database itself",
    "billing_test_clock": "one row about the time that all of them share",
    "billing_schedule": "the work that is done for all of them",
}


def test_every_table_of_ours_has_a_tenant(db: Connection) -> None:
    assert without_tenant(db) == set(WITHOUT_TENANT)


RECORDS = {records.Invoice: "invoices", records.Transaction: "transactions", records.ConsumptionLog: "consumption_log"}


def test_every_record_is_held_against_its_table() -> None:
    assert {kind for kind in vars(records).values() if isinstance(kind, type) and is_dataclass(kind)} == set(RECORDS)


@pytest.mark.parametrize("record", list(RECORDS))
def test_the_fields_of_a_record_are_the_columns_of_its_table(db: Connection, record: type) -> None:
    report(unlike_its_table(db, record, RECORDS[record]))

"""POST /usage under ugly input: the documented set is accepted, the rest is a 4xx that names the field."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from pydantic_core import PydanticCustomError
from werkzeug.test import TestResponse

from api_v1.schemas_usage import canonical, read_instant
from api_v1.wire import parse_json
from billing_db import Connection, fetch_one
from tests.api.test_hostile_sockets import Host
from tests.api.usage_calls import USAGE, events_in, faults, key_of
from tests.cast import Cast, Person, enter

ROOT = Path(__file__).parents[2]
MEBIBYTE = 1024 * 1024
TODAY = f"{datetime.now(UTC):%Y-%m-%d}"


def send(client: FlaskClient, raw: str | bytes, who: Person) -> TestResponse:
    return client.post(USAGE, data=raw, content_type="application/json", headers=who.headers)


def event(**fields: str) -> str:
    """An event as raw JSON, with the given texts in place of its values."""
    parts = {"metric": '"tokens"', "quantity": "1", **fields}
    return "{" + ",".join(f'"{name}":{value}' for name, value in parts.items()) + "}"


# -- quantities -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "counted"),
    [("1", 1), ("5.0", 5), ("1e2", 100), ("2.5e1", 25), ("9007199254740991", 2**53 - 1), ("9007199254740992", 2**53)],
)
def test_whole_numbers_from_1_to_2_to_the_53_are_counted(
    client: FlaskClient, db: Connection, people: Cast, written: str, counted: int
) -> None:
    assert send(client, event(quantity=written), people.ada).status_code == 202
    row = fetch_one(db, "SELECT quantity FROM usage_events")
    assert row is not None
    assert row["quantity"] == counted


@pytest.mark.parametrize(
    ("written", "status", "code"),
    [
        ("NaN", 400, "field_type"),
        ("Infinity", 400, "field_type"),
        ("-Infinity", 400, "field_type"),
        ("1e400", 400, "field_type"),
        ("-1", 422, "field_range"),
        ("0", 422, "field_range"),
        ("-0.0", 422, "field_range"),
        ("0.5", 422, "field_type"),
        ("1e-400", 422, "field_type"),
        ('"5"', 422, "field_type"),
        ("true", 422, "field_type"),
        ("null", 422, "field_type"),
        ("[1]", 422, "field_type"),
        ("{}", 422, "field_type"),
        ("9007199254740993", 422, "field_range"),
        ("9007199254740993.0", 422, "field_type"),
        ("9223372036854775808", 422, "field_range"),
        ("1" + "0" * 40, 422, "field_range"),
        ("1" + "0" * 4299, 422, "field_range"),
    ],
)
@pytest.mark.parametrize("name", ["quantity", "amount"])
def test_no_other_quantity_is(
    client: FlaskClient, db: Connection, people: Cast, name: str, written: str, status: int, code: str
) -> None:
    one = event(quantity=written).replace("quantity", name)
    single = send(client, one, people.ada)
    assert (single.status_code, faults(single)) == (status, [(f"/{name}", code)])
    batch = send(client, f'{{"events":[{event()},{one}]}}', people.ada)
    assert (batch.status_code, faults(batch)) == (status, [(f"/events/1/{name}", code)])
    assert events_in(db) == 0


def test_a_number_longer_than_python_reads_is_unreadable(client: FlaskClient, people: Cast) -> None:
    reply = send(client, event(quantity="9" * 5000), people.ada)
    assert (reply.status_code, reply.json["code"]) == (400, "json_unreadable")


# -- texts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "fits"),
    [
        ("a", True), ("a" * 63, True), ("t_0_k", True), ("a" * 64, False), ("", False), ("A", False), ("_a", False),
        ("0a", False), ("a-b", False), ("a b", False), ("a\\n", False), ("é", False), ("a\\u0000", False),
    ],
)  # fmt: skip
def test_a_metric_is_a_plain_name(client: FlaskClient, people: Cast, metric: str, fits: bool) -> None:
    reply = send(client, event(metric=f'"{metric}"'), people.ada)
    assert reply.status_code == (202 if fits else 422)
    assert fits or faults(reply) == [("/metric", "field_format")]


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ('"k"', None),
        (f'"{"k" * 254}"', None),
        (f'"{"k" * 255}"', None),
        (f'"{"𝄞" * 255}"', None),
        ('"\\ud834\\udd1e"', None),
        ("null", None),
        (f'"{"k" * 256}"', "field_length"),
        ('""', "field_length"),
        ('"a\\u0000b"', "field_text"),
        ('"\\ud800"', "field_text"),
        ("7", "field_type"),
    ],
)
def test_a_key_has_1_to_255_storable_characters(
    client: FlaskClient, db: Connection, people: Cast, key: str, code: str | None
) -> None:
    reply = send(client, f'{{"events":[{event(idempotency_key=key)}]}}', people.ada)
    assert reply.status_code == (422 if code else 202)
    assert code is None or faults(reply) == [("/events/0/idempotency_key", code)]
    assert events_in(db) == (code is None)


def test_two_keys_that_differ_in_one_blank_are_two(client: FlaskClient, people: Cast) -> None:
    for key in ("k", "k ", " k", "K", "\u00e9", "e\u0301"):
        body = json.dumps({"metric": "tokens", "quantity": 1, "idempotency_key": key})
        assert send(client, body, people.ada).json["duplicate"] is False


def _metadata(names: int = 1, name: str = "n", value: Any = "v") -> str:
    return json.dumps({f"{name}{number or ''}": value for number in range(names)})


@pytest.mark.parametrize(
    ("metadata", "fault"),
    [
        ("null", None),
        ("{}", None),
        (_metadata(19), None),
        (_metadata(20), None),
        (_metadata(21), ("/metadata", "field_length")),
        (_metadata(name="n" * 63), None),
        (_metadata(name="n" * 64), None),
        (_metadata(name="n" * 65), (f"/metadata/{'n' * 65}", "field_length")),
        ('{"":1}', ("/metadata/", "field_length")),
        (_metadata(value="v" * 499), None),
        (_metadata(value="v" * 500), None),
        (_metadata(value="v" * 501), ("/metadata/n", "field_length")),
        ('{"a":true,"b":false,"c":null,"d":-1.5,"e":9223372036854775807,"f":""}', None),
        ('{"n":9223372036854775808}', ("/metadata/n", "field_range")),
        ('{"n":[]}', ("/metadata/n", "field_type")),
        ('{"n":{}}', ("/metadata/n", "field_type")),
        ('{"n":"\\u0000"}', ("/metadata/n", "field_text")),
        ("[]", ("/metadata", "field_type")),
        ('"text"', ("/metadata", "field_type")),
    ],
)
def test_metadata_is_a_small_flat_object(
    client: FlaskClient, db: Connection, people: Cast, metadata: str, fault: tuple[str, str] | None
) -> None:
    reply = send(client, event(metadata=metadata), people.ada)
    assert reply.status_code == (422 if fault else 202), reply.data
    assert fault is None or faults(reply) == [fault]


def test_metadata_is_kept_as_canonical_json(client: FlaskClient, db: Connection, people: Cast) -> None:
    assert send(client, event(metadata='{"b": 1.0, "a": "é", "c": 1e300}'), people.ada).status_code == 202
    row = fetch_one(db, "SELECT metadata FROM usage_events")
    assert row is not None
    assert row["metadata"] == '{"a":"é","b":1,"c":1e+300}'
    assert canonical({}) is canonical(None) is None


# -- instants -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "code"),
    [
        (f"{TODAY}T00:00:00", "instant_without_zone"),
        ("2026-05-20T10:00:60", "instant_without_zone"),
        (f"{TODAY}", "instant_invalid"),
        (f"{TODAY} 00:00:00Z", "instant_invalid"),
        (f"{TODAY}T00:00Z", "instant_invalid"),
        (f"{TODAY}T00:00:00+0200", "instant_invalid"),
        (f"{TODAY}T00:00:00+24:00", "instant_invalid"),
        (f"{TODAY}T00:00:00.Z", "instant_invalid"),
        (f"{TODAY}T24:00:00Z", "instant_invalid"),
        (f"{TODAY}T00:60:00Z", "instant_invalid"),
        (f"{TODAY}T00:00:61Z", "instant_invalid"),
        (f"{TODAY}T12:30:60Z", "instant_invalid"),
        ("2026-02-29T00:00:00Z", "instant_invalid"),
        ("0000-01-01T00:00:00Z", "instant_invalid"),
        ("٢٠٢٦-05-20T00:00:00Z", "instant_invalid"),
        (f"{TODAY}T00:00:00Z\\n", "instant_invalid"),
        ("yesterday", "instant_invalid"),
        ("", "instant_invalid"),
        ("0001-01-01T00:00:00Z", "at_too_old"),
        ("0001-01-01T00:00:00+23:59", "at_too_old"),
        ("9999-12-31T23:59:59-23:59", "at_in_future"),
        ("9999-12-31T23:59:60Z", "at_in_future"),
    ],
)
def test_an_instant_that_is_none_or_out_of_reach_is_named(
    client: FlaskClient, people: Cast, at: str, code: str
) -> None:
    reply = send(client, event(at=f'"{at}"'), people.ada)
    assert (reply.status_code, reply.json["code"], faults(reply)) == (422, code, [("/at", code)])


@pytest.mark.parametrize("at", ["1700000000", "true", "{}"])
def test_an_instant_is_a_text(client: FlaskClient, people: Cast, at: str) -> None:
    assert faults(send(client, event(at=at), people.ada)) == [("/at", "field_type")]


def test_every_instant_is_read_as_it_is_meant() -> None:
    hypothesis = pytest.importorskip("hypothesis")
    st = hypothesis.strategies

    @hypothesis.given(
        st.datetimes(timezones=st.timezones(), allow_imaginary=False).filter(lambda at: 1 < at.year < 9999)
    )
    @hypothesis.example(datetime(2026, 5, 20, 10, 0, 0, 123456, tzinfo=UTC))
    def is_read_as_it_is_meant(at: datetime) -> None:
        meant = at.astimezone(UTC)  # Python takes an hour that comes twice for equal to no other zone's
        assert read_instant(meant.isoformat()) == meant
        assert read_instant(meant.isoformat().replace("+00:00", "Z")) == meant

    is_read_as_it_is_meant()


def test_a_text_is_an_instant_or_a_named_fault() -> None:
    hypothesis = pytest.importorskip("hypothesis")

    @hypothesis.given(hypothesis.strategies.text(alphabet="0123456789-:TZ+. ", max_size=40))
    def is_an_instant_or_a_named_fault(text: str) -> None:
        with suppress(PydanticCustomError):
            assert read_instant(text).tzinfo is UTC

    is_an_instant_or_a_named_fault()


# -- bodies ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"", 400),
        (b"[" * 100_000, 400),
        (b'{"events":' * 50_000, 400),
        (b"\xff\xfe{}", 400),
        (b'{"metric":"\xed\xa0\x80","quantity":1}', 400),
        (b'{"metric":"tokens","quantity":1,"quantity":1}', 400),
        (b'{"events":[{"metric":"a","quantity":1,"metadata":{"a":1,"a":1}}]}', 400),
        (b'{"metric":"tokens","quantity":1}{}', 400),
        (b"[]", 422),
        (b"null", 422),
        (b"{}", 422),
        (b'{"events":{}}', 422),
        (b'{"events":[],"metric":"tokens"}', 422),
        (b'{"events":[{"metric":"tokens","quantity":1}],"corrects":"x","quantity":-1}', 422),
        (b'{"events":null}', 422),
        (b'{"corrects":null,"quantity":-1}', 422),
    ],
)
def test_a_body_of_no_shape_is_refused_and_writes_nothing(
    client: FlaskClient, db: Connection, people: Cast, raw: bytes, status: int
) -> None:
    reply = send(client, raw, people.ada)
    assert (reply.status_code, "error" in reply.json) == (status, True)
    assert events_in(db) == 0


def test_every_number_that_is_none_is_named() -> None:
    from turf_saas.errors import Malformed

    with pytest.raises(Malformed) as refused:
        parse_json(b'{"a":[1,NaN,{"b":[[-Infinity]],"c":1e999}],"d":"NaN 1e999","e":1e9}')
    assert [fault.loc for fault in refused.value.faults] == ["/a/1", "/a/2/b/0/0", "/a/2/c"]
    assert parse_json(b'{"d":"NaN Infinity 1e999","e":1e9}') == {"d": "NaN Infinity 1e999", "e": 10**9}


# -- over a socket --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Host, str]]:
    """A served host and the API key of its admin."""
    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc here to read a process's memory from")
    from billing_db import connect

    database = str(tmp_path_factory.mktemp("sockets") / "billing.db")
    command = [sys.executable, "-m", "tests.api.hostile_host", database]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        last_resort = threading.Timer(300, process.kill)
        last_resort.start()
        try:
            assert process.stdout is not None
            served = Host(process.pid, int(process.stdout.readline()))
            served.send(b"GET /api/v1/billing/readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            db = connect(database)
            secret = key_of(db, enter(db).ada)["X-API-Key"]
            db.close()
            yield served, secret
        finally:
            last_resort.cancel()
            process.terminate()
            _, errors = process.communicate(timeout=20)
    assert "Traceback" not in errors


def request(secret: str, length: int) -> bytes:
    lines = [
        f"POST {USAGE} HTTP/1.1", "Host: localhost", "Connection: close", "Content-Type: application/json",
        f"Authorization: Bearer {secret}", f"Content-Length: {length}", "Idempotency-Key: from the header",
    ]  # fmt: skip
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def test_raw_bytes_on_a_socket_are_recorded_once(host: tuple[Host, str]) -> None:
    served, secret = host
    raw = b'{"metric":"tokens","quantity":80000}'
    status, headers, body = served.send(request(secret, len(raw)), raw)
    again = json.loads(served.send(request(secret, len(raw)), raw)[2])
    assert (status, headers["X-Billing-Alert"]) == (202, "soft_limit_warning")
    assert re.fullmatch("[0-9a-f]{32}", json.loads(body)["id"])
    assert again == {"id": json.loads(body)["id"], "duplicate": True}


@pytest.mark.parametrize(
    ("most", "status", "code"),
    [(2 * MEBIBYTE - 1, 422, "invalid_input"), (2 * MEBIBYTE, 422, "invalid_input"),
     (2 * MEBIBYTE + 1, 413, "body_too_large"), (100 * MEBIBYTE, 413, "body_too_large")],
)  # fmt: skip
def test_a_body_has_2_mebibytes(host: tuple[Host, str], most: int, status: int, code: str) -> None:
    served, secret = host
    sent = [b"{}", b" " * (most - 2)] if most < 3 * MEBIBYTE else []  # an answer shows that no more was waited for
    found, _, body = served.send(request(secret, most), *sent)
    assert (found, json.loads(body)["code"]) == (status, code)


def test_memory_stays_flat_whatever_a_batch_is_made_of(host: tuple[Host, str]) -> None:
    served, secret = host
    served.send(request(secret, 2), b"{}")
    before = served.peak_memory()
    many = 2 * MEBIBYTE
    for raw in (
        b"[" * many,
        b'{"events":[' + b"[],".join([b""] * (many // 3 - 10)) + b"[]]}",
        b'{"events":[' + b"{},".join([b""] * (many // 3 - 10)) + b"{}]}",
        b'{"events":[' + b"1,".join([b""] * (many // 2 - 10)) + b"1]}",
        b'{"events":[' + b"NaN,".join([b""] * (many // 4 - 10)) + b"NaN]}",
        b'{"events":[' + b'{"a":1},'.join([b""] * 30_000) + b"{}]}",
        b'{"metric":"' + b"a" * (many - 100) + b'","quantity":1}',
        b'{"metric":"a","quantity":' + b"9" * (many - 100) + b"}",
    ):
        status, _, body = served.send(request(secret, len(raw)), raw)
        assert status in {400, 422}, (raw[:40], status)
        assert len(body) < MEBIBYTE
    assert served.peak_memory() - before < 100 * MEBIBYTE

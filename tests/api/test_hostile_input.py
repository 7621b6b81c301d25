"""Whatever is sent: an answer in JSON, the right status, every fault named, never a 500, never a stack trace."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.api.hostile_host import ECHO, PREFIX, make_host
from tests.cast import Cast, Person
from tests.conftest import ENGINES

BIG = 1024 * 1024
CONSUMPTION = f"{PREFIX}/consumption"


@pytest.fixture(params=["sqlite"])
def engine(request: pytest.FixtureRequest) -> str:
    """Most of this is decided before a database is asked. Where it is not, the test names both."""
    return str(request.param)


both_engines = pytest.mark.parametrize("engine", ENGINES, indirect=True)


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., TestResponse]:
    """Send raw bytes as a JSON body, and see that the answer is one of ours whatever it says."""
    client = make_host(str(tmp_path_factory.mktemp("echo") / "billing.db"), TESTING=True).test_client()

    def send(
        raw: bytes | str, content_type: str | None = "application/json", query: str = "", **more: Any
    ) -> TestResponse:
        body = raw.encode() if isinstance(raw, str) else raw
        reply = client.post(f"{ECHO}{query}", data=body, content_type=content_type, **more)
        assert_ours(reply)
        return reply

    return send


def assert_ours(reply: TestResponse) -> None:
    assert reply.status_code < 500, reply.data[:500]
    assert reply.mimetype == "application/json", reply.data[:200]
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert b"Traceback" not in reply.data
    if reply.status_code >= 400 and reply.data:
        assert set(json.loads(reply.data)) >= {"error", "code"}


def faults(reply: TestResponse) -> list[tuple[str, str]]:
    return [(fault["loc"], fault["code"]) for fault in reply.json["errors"]]


# -- what is not JSON -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        b"", b" ", b"{", b'{"text":', b'{"text": "a"', b'{"text": "a"}}', b"{'text': 1}", b'{"text": "a",}', b"\x00",
        b'\xef\xbb\xbf{"text": "a"}', b'{"text": "\xff"}', b'{"text": "\xed\xa0\x80"}',
        '{"text": "é"}'.encode("latin-1"),
        '{"text": "a"}'.encode("utf-16"), b'{"text": "\x00"}', b'{"text": "\n"}', b'{"text": "\\ud8"}',
        b'{"text": "\\x41"}',
        b'{"count": NaN}', b'{"count": Infinity}', b'{"count": -Infinity}', b'{"ratio": 1e400}', b'{"ratio": -1e400}',
        b'{"count": 01}', b'{"count": +1}', b'{"count": .5}', b'{"count": 0x10}', b'{"count": 1_000}',
        b'{"count": ' + b"9" * 4301 + b"}", b'{"count": ' + b"9" * 1_000_000 + b"}",
        b'{"ratio": 1' + b"0" * 400 + b".5}",
        b"[" * 100_000, b'{"text":' * 100_000, b"[" * 100_000 + b"]" * 100_000,
        b'{"count": 1, "count": 2}', b'{"parts": [{"metric": "a", "quantity": 1, "quantity": 1}]}',
        b'{"\\ud800": 1}', b'{"\\udfff\\ud800": 1}', b'{"\\u0000": 1}', gzip.compress(b'{"text": "a"}', mtime=0),
    ],
)  # fmt: skip
def test_a_body_that_is_not_json_is_unreadable(echo: Callable[..., TestResponse], raw: bytes) -> None:
    reply = echo(raw)
    assert (reply.status_code, reply.json["code"]) == (400, "json_unreadable")
    assert len(reply.data) < 1000


def test_a_name_given_twice_among_many_is_found_in_one_pass(echo: Callable[..., TestResponse]) -> None:
    pairs = [f'"k{number}":1' for number in range(29_999)]
    reply = echo("{" + ",".join([*pairs, '"k29998":2']) + "}")
    assert (reply.status_code, reply.json["error"].count("k29998")) == (400, 1)


def test_a_body_names_thirty_thousand_fields_at_most(echo: Callable[..., TestResponse]) -> None:
    def named(count: int) -> str:
        return "{" + ",".join(f'"k{number}":1' for number in range(count)) + "}"

    assert [echo(named(count)).status_code for count in (29_999, 30_000, 30_001)] == [422, 422, 400]
    nested = echo(f'{{"parts": [{named(15_000)}, {named(15_000)}]}}')
    assert (nested.status_code, nested.json["code"]) == (400, "json_unreadable")


def test_a_body_has_a_hundred_thousand_lists_and_objects_at_most(echo: Callable[..., TestResponse]) -> None:
    def nested(count: int) -> str:  # with the body itself and the list of its parts
        return '{"parts": [' + ",".join(["[]", "{}"] * (count // 2) + ["[]"] * (count % 2)) + "]}"

    assert [echo(nested(count - 2)).status_code for count in (99_999, 100_000, 100_001)] == [422, 422, 400]
    brackets = '"' + r"[{\\" * 60_000 + '"'
    assert echo(f'{{"free": {{"text": {brackets}}}}}').status_code == 200  # in a text they are letters
    assert echo(f'{{"free": {{"text": {brackets}}}, "parts": [{"[]," * 100_000}[]]}}').status_code == 400


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200), ("application/json; charset=utf-8", 200), ('Application/JSON;Charset="UTF-8"', 200),
        ("application/json; charset=latin-1", 415), ("application/json; charset=utf-16", 415), ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415), ("multipart/form-data; boundary=x", 415), ("text/json", 415),
        ("application/vnd.api+json", 415), ("application/jsonp", 415), ("*/*", 415), ("", 415), (None, 415),
        (";", 415), ("application/json\xff", 415), ("a" * 8_000, 415), ("application/json;" + "a=b;" * 2_000, 200),
    ],
)  # fmt: skip
def test_only_json_in_utf8_is_read(echo: Callable[..., TestResponse], content_type: str, status: int) -> None:
    reply = echo(b'{"text": "a"}', content_type)
    assert reply.status_code == status
    if status == 415:
        assert reply.json["code"] == "json_expected"


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip", "x"])
def test_a_compressed_body_is_not_unpacked(echo: Callable[..., TestResponse], encoding: str) -> None:
    bomb = gzip.compress(b" " * 10_000_000)
    reply = echo(bomb, headers={"Content-Encoding": encoding})
    assert (reply.status_code, reply.json["code"]) == (415, "encoding_unsupported")
    assert echo(b"{}", headers={"Content-Encoding": "Identity"}).status_code == 200


def test_a_body_may_have_a_mebibyte_and_no_byte_more(echo: Callable[..., TestResponse], url: str) -> None:
    def padded(size: int) -> bytes:
        return b'{"text": "a"' + b" " * (size - 13) + b"}"

    assert echo(padded(BIG - 1)).status_code == 200
    assert echo(padded(BIG)).status_code == 200
    reply = echo(padded(BIG + 1))
    assert (reply.status_code, reply.json["code"]) == (413, "body_too_large")
    assert "1048576" in reply.json["error"]
    small = make_host(url, TESTING=True, MAX_CONTENT_LENGTH=100).test_client()
    assert small.post(ECHO, data=padded(101), content_type="application/json").status_code == 413
    assert small.post(ECHO, data=padded(100), content_type="application/json").status_code == 200
    large = make_host(url, TESTING=True, MAX_CONTENT_LENGTH=BIG * 9).test_client()
    assert large.post(ECHO, data=padded(BIG + 1), content_type="application/json").status_code == 413


# -- what is JSON, but not acceptable -------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "loc", "code"),
    [
        ("[]", "", "field_type"), ("null", "", "field_type"), ('"a"', "", "field_type"), ("1", "", "field_type"),
        ("true", "", "field_type"), ('{"text": 1}', "/text", "field_type"), ('{"text": ["a"]}', "/text", "field_type"),
        (r'{"text": "\u0000"}', "/text", "field_text"), (r'{"text": "a\ud800"}', "/text", "field_text"),
        (r'{"text": "\udc00\ud800"}', "/text", "field_text"), (f'{{"text": "{"a" * 1001}"}}', "/text", "field_length"),
        (f'{{"text": "{"a" * (BIG - 20)}"}}', "/text", "field_length"),
        ('{"count": -1}', "/count", "field_range"), ('{"count": 9223372036854775808}', "/count", "field_range"),
        ('{"count": 1' + "0" * 40 + "}", "/count", "field_range"),
        ('{"count": -1' + "0" * 40 + "}", "/count", "field_range"),
        ('{"count": 0.5}', "/count", "field_type"), ('{"count": 1e40}', "/count", "field_type"),
        ('{"count": 9007199254740992.0}', "/count", "field_type"),
        ('{"count": 9007199254740991.4}', "/count", "field_type"),
        ('{"count": "5"}', "/count", "field_type"), ('{"count": true}', "/count", "field_type"),
        ('{"count": []}', "/count", "field_type"), ('{"ratio": "1"}', "/ratio", "field_type"),
        ('{"ratio": false}', "/ratio", "field_type"), ('{"flag": 1}', "/flag", "field_type"),
        ('{"flag": "true"}', "/flag", "field_type"), ('{"kind": "weak"}', "/kind", "field_choice"),
        ('{"month": "2026-13"}', "/month", "month_invalid"), ('{"user_id": true}', "/user_id", "field_type"),
        ('{"user_id": 1.5}', "/user_id", "field_type"), ('{"user_id": -1}', "/user_id", "field_format"),
        ('{"user_id": 9223372036854775808}', "/user_id", "field_format"),
        ('{"user_id": ""}', "/user_id", "field_format"),
        (f'{{"user_id": "{"1" * 256}"}}', "/user_id", "field_format"),
        (r'{"user_id": "\u0000"}', "/user_id", "field_text"),
        (r'{"user_id": "\ud800"}', "/user_id", "field_text"), ('{"user_id": {"id": 1}}', "/user_id", "field_type"),
        ('{"parts": {}}', "/parts", "field_type"), ('{"parts": [1]}', "/parts/0", "field_type"),
        ('{"parts": [{"metric": "a", "quantity": 1}, {"metric": "a"}]}', "/parts/1/quantity", "field_missing"),
        ('{"parts": [{"metric": "a", "quantity": -9223372036854775809}]}', "/parts/0/quantity", "field_range"),
        ('{"a/b~c": 1}', "/a~1b~0c", "field_unknown"), ('{"role": "admin"}', "/role", "field_unknown"),
        ('{"__proto__": {}}', "/__proto__", "field_unknown"),
    ],
)  # fmt: skip
def test_a_value_that_is_not_acceptable_is_named(
    echo: Callable[..., TestResponse], body: str, loc: str, code: str
) -> None:
    reply = echo(body)
    assert reply.status_code == 422
    assert faults(reply) == [(loc, code)]
    assert reply.json["code"] == (code if code == "month_invalid" else "invalid_input")


@pytest.mark.parametrize(
    ("body", "understood"),
    [
        ('{"count": 0}', {"count": 0}), ('{"count": -0}', {"count": 0}), ('{"count": 5.0}', {"count": 5}),
        ('{"count": 1e2}', {"count": 100}), ('{"count": -0.0}', {"count": 0}), ('{"count": 1.5e1}', {"count": 15}),
        ('{"count": 9007199254740991.0}', {"count": 2**53 - 1}), ('{"count": 9007199254740993}', {"count": 2**53 + 1}),
        ('{"count": 9223372036854775807}', {"count": 2**63 - 1}), ('{"ratio": 0.1}', {"ratio": 0.1}),
        ('{"ratio": 5}', {"ratio": 5.0}), ('{"ratio": 1e-400}', {"ratio": 0.0}), ('{"user_id": 0}', {"user_id": 0}),
        ('{"user_id": 9223372036854775807}', {"user_id": 2**63 - 1}),
        (f'{{"user_id": "{"u" * 255}"}}', {"user_id": "u" * 255}),
        (r'{"text": "\ud83d\ude00 é"}', {"text": "😀 é"}), ('{"text": "\u202e\uffff"}', {"text": "\u202e\uffff"}),
        (f'{{"text": "{"é" * 1000}"}}', {"text": "é" * 1000}), ('{"parts": []}', {"parts": []}), (" {\n} ", {}),
    ],
)  # fmt: skip
def test_what_is_accepted_is_understood_exactly(
    echo: Callable[..., TestResponse], body: str, understood: dict[str, Any]
) -> None:
    reply = echo(body)
    assert reply.status_code == 200
    assert reply.json["body"] == understood
    assert [type(value) for value in reply.json["body"].values()] == [type(value) for value in understood.values()]


def test_what_cannot_be_stored_is_found_where_no_type_looks_for_it(echo: Callable[..., TestResponse]) -> None:
    body = r'{"free": {"a": ["ok", "\ud800"], "b": {"c": "\u0000"}, "d": "\\ud800 \ud83d\ude00 \\u0000"}}'
    reply = echo(body)
    assert reply.status_code == 422
    assert sorted(faults(reply)) == [("/free/a/1", "field_text"), ("/free/b/c", "field_text")]
    assert faults(echo("{}", query="?word=a%00")) == [("/word", "field_text")]
    assert echo("{}", query="?word=%ED%A0%80").status_code == 200  # text that looks like one, and is none


def test_all_faults_of_a_body_are_listed(echo: Callable[..., TestResponse]) -> None:
    body = {
        "text": 1,
        "count": -1,
        "kind": "x",
        "role": "admin",
        "tenant_id": 2,
        "parts": [{"metric": 1}, {"quantity": 1}],
    }
    assert faults(echo(json.dumps(body))) == [
        ("/text", "field_type"),
        ("/count", "field_range"),
        ("/kind", "field_choice"),
        ("/parts/0/metric", "field_type"),
        ("/parts/0/quantity", "field_missing"),
        ("/parts/1/metric", "field_missing"),
        ("/role", "field_unknown"),
        ("/tenant_id", "field_unknown"),
    ]


def test_an_answer_is_never_larger_than_the_largest_body(echo: Callable[..., TestResponse]) -> None:
    many = echo("{" + ",".join(f'"k{number}":1' for number in range(30_000)) + "}")
    assert (many.status_code, len(many.json["errors"])) == (422, 5000)
    long_name = echo('{"' + "k" * (BIG - 10) + '": 1}')
    assert (long_name.status_code, faults(long_name)) == (422, [("/" + "k" * 100, "field_unknown")])
    assert max(len(many.data), len(long_name.data)) < BIG


# -- queries --------------------------------------------------------------------------------------


@both_engines
@pytest.mark.parametrize(
    ("query", "loc", "code"),
    [
        ("?month=%00", "/month", "month_invalid"), ("?month=%ff", "/month", "month_invalid"),
        ("?month=%ED%A0%80", "/month", "month_invalid"), ("?month", "/month", "month_invalid"),
        ("?month=%F0%9D%9F%9A026-05", "/month", "month_invalid"), ("?%00=1", "/\0", "field_unknown"),
        ("?month=2026-05&month=2026-05", "/month", "field_repeated"), ("?a[]=1", "/a[]", "field_unknown"),
        ("?" + "k" * 5000, "/" + "k" * 100, "field_unknown"), ("?user_id=2", "/user_id", "field_unknown"),
        ("?month=2026-05;user_id=2", "/month", "month_invalid"), ("?jwt=x", "/jwt", "field_unknown"),
    ],
)  # fmt: skip
def test_a_query_that_is_not_acceptable_is_named(
    client: FlaskClient, alice: Person, query: str, loc: str, code: str
) -> None:
    reply = client.get(CONSUMPTION + query, headers=alice.headers)
    assert_ours(reply)
    assert (reply.status_code, faults(reply)) == (422, [(loc, code)])


def test_a_query_in_raw_bytes_is_unreadable(client: FlaskClient, alice: Person) -> None:
    for raw in ("month=\xff", "\xed\xa0\x80=1", "month=2026-05&\xe9"):
        reply = client.get(CONSUMPTION, headers=alice.headers, environ_overrides={"QUERY_STRING": raw})
        assert_ours(reply)
        assert (reply.status_code, reply.json["code"]) == (400, "bad_request")


def test_all_faults_of_a_long_query_are_listed(client: FlaskClient, alice: Person) -> None:
    query = "&".join(f"k{number}=1" for number in range(6_000))
    reply = client.get(f"{CONSUMPTION}?{query}", headers=alice.headers)
    assert (reply.status_code, len(reply.json["errors"])) == (422, 5000)


# -- paths, methods, headers ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "//", "//consumption", "/consumption/", "/consumption//", "/./consumption", "/../billing/consumption",
        "/consumption/..", "/%2e%2e/", "/consumption%2F", "/consumption%00", "/%00", "/%ff", "/%ED%A0%80",
        "/CONSUMPTION", "/a%0Ab",
        "/consumption;x=1", "/consumption.json", "/tenants", "/tenants/", "/tenants/1", "/tenants//consumption",
        "/tenants/-1/consumption", "/tenants/1.0/consumption", "/tenants/01/consumption", "/tenants/0x1/consumption",
        "/tenants/%EF%BC%91/consumption", "/tenants/%D9%A1/consumption", "/tenants/9223372036854775808/consumption",
        "/tenants/9999999999999999999/consumption", "/tenants/" + "1" * 5_000 + "/consumption", "/tenants/1/healthz",
        "/tenants/1//consumption", "/tenants/1/tenants/1/consumption", "/" + "a" * 60_000, "/" + "a/" * 30_000,
    ],
)  # fmt: skip
def test_a_path_that_is_none_of_ours_is_a_404_in_json(client: FlaskClient, alice: Person, path: str) -> None:
    reply = client.get(f"{PREFIX}{path}", headers=alice.headers)
    assert_ours(reply)
    assert (reply.status_code, reply.json["code"]) == (404, "not_found")
    assert len(reply.data) < 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "CONNECT", "INVENTED"])
def test_another_method_is_a_405_that_names_the_right_ones(client: FlaskClient, alice: Person, method: str) -> None:
    reply = client.open(CONSUMPTION, method=method, headers=alice.headers, data=b"{", content_type="application/json")
    assert_ours(reply)
    assert (reply.status_code, reply.json["code"], reply.headers["Allow"]) == (405, "method_not_allowed", "GET")


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "_method"])
def test_a_method_cannot_be_overridden(client: FlaskClient, alice: Person, header: str) -> None:
    headers = {**alice.headers, header: "DELETE"}
    assert client.get(CONSUMPTION, headers=headers).status_code == 200
    assert client.post(CONSUMPTION, headers={**headers, header: "GET"}).status_code == 405


def test_head_is_get_without_a_body(client: FlaskClient, alice: Person) -> None:
    head = client.head(f"{CONSUMPTION}?month=2026-05", headers=alice.headers)
    get = client.get(f"{CONSUMPTION}?month=2026-05", headers=alice.headers)
    assert (head.status_code, head.data, head.content_type) == (200, b"", "application/json")
    assert head.headers["Content-Length"] == str(len(get.data))
    assert client.head(f"{PREFIX}/nothing").status_code == 404
    assert client.head(CONSUMPTION).status_code == 401


@pytest.mark.parametrize(
    "languages",
    [
        "é" * 5_000, "en;q=" + "9" * 5_000, ",".join(f"x{n};q=0.{n}" for n in range(1_000)), "en;q=nan,fr;q=inf",
        "en;q=-1",
        "en;q=1e999", ";;;,,,===", "*", "", " ", "en\x00", "\xff\xfe", "en-" * 3_000, "fr;" * 3_000, '"' * 5_000, "q=",
        "en;" + " " * 10_000 + "q=1",
    ],
)  # fmt: skip
def test_any_accept_language_gets_an_answer(client: FlaskClient, languages: str) -> None:
    reply = client.get(CONSUMPTION, environ_overrides={"HTTP_ACCEPT_LANGUAGE": languages})
    assert_ours(reply)
    assert reply.status_code == 401
    assert reply.json["error"] in {"Authentification requise.", "Authentication required."}


@both_engines
@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer é", "Bearer \xff\xfe", "Bearer", "Bearer ", "Bearer  a b c", "Bearer " + "a" * 10_000, "Bearer \x00",
        "é",
        "Basic é", "Basic " + "=" * 100,
        "Digest " + 'a="' * 1_000, "Bearer a.b.c", "Bearer ...", "Bearer bk_", "Bearer bk_é",
        "Bearer bk_00000000_" + "a" * 43, "Bearer " + "." * 5_000, "=" * 5_000, "Bearer eyJhbGciOiJub25lIn0.e30.", " ",
        "Token x",
        "Bearer " + "W1tb" * 2_000 + ".e30.x",
    ],
)  # fmt: skip
def test_any_authorization_that_is_no_token_is_a_401_with_the_same_body(
    client: FlaskClient, people: Cast, authorization: str
) -> None:
    reply = client.get(CONSUMPTION, environ_overrides={"HTTP_AUTHORIZATION": authorization})
    assert_ours(reply)
    assert (reply.status_code, reply.data) == (401, client.get(CONSUMPTION).data)
    assert reply.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "environ",
    [
        {"HTTP_COOKIE": "\xff=\xfe; " + "a=b; " * 3_000}, {"HTTP_X_API_KEY": "\xff"},
        {"HTTP_X_API_KEY": "bk_" + "é" * 5_000},
        {"HTTP_ACCEPT": "text/html"}, {"HTTP_ACCEPT": "\xff;q=x"},
        {"HTTP_IF_NONE_MATCH": '"' * 500}, {"HTTP_RANGE": "bytes=0-0"},
        {"HTTP_EXPECT": "x"}, {"HTTP_X_FORWARDED_FOR": "\xff, " * 500}, {"HTTP_ORIGIN": "null"},
        {"CONTENT_LENGTH": "abc"},
        {"CONTENT_LENGTH": "-1"}, {"CONTENT_LENGTH": "9" * 5_000}, {"CONTENT_TYPE": "\xff"},
        {"HTTP_X_CSRF_TOKEN": "\xff"},
        {"HTTP_IF_MODIFIED_SINCE": "never"}, {"HTTP_TRANSFER_ENCODING": "gzip"}, {"HTTP_UPGRADE": "websocket"},
    ],
)  # fmt: skip
def test_other_headers_change_nothing(client: FlaskClient, alice: Person, environ: dict[str, str]) -> None:
    reply = client.get(CONSUMPTION, headers=alice.headers, environ_overrides=environ)
    assert_ours(reply)
    assert (reply.status_code, reply.json["user_id"]) == (200, 1)


@pytest.mark.parametrize("length", ["abc", "-1", "", "9" * 5_000, "１"])
def test_a_content_length_that_is_no_number_is_no_500(echo: Callable[..., TestResponse], length: str) -> None:
    reply = echo(b'{"text": "a"}', environ_overrides={"CONTENT_LENGTH": length})
    assert reply.status_code in {400, 413}


# -- every route that takes a body ----------------------------------------------------------------


BODIES = [b"", b"{", b"[]", b"null", b'"x"', b"1", b"NaN", b'{"a": 1, "a": 2}', b'{"\\ud800": 1}', b"[" * 9_999,
          b'{"name": "\\u0000", "email": "\\ud800", "password": 1, "scopes": {}, "user_id": [], "x": 1e9}']  # fmt: skip


@both_engines
def test_no_route_is_hurt_by_a_hostile_body(make_app: Callable[..., Flask], people: Cast) -> None:
    app = make_app(BILLING_ACCOUNTS="1")
    client = app.test_client()
    tried = 0
    for operation in app.extensions["billing"].operations:
        path = PREFIX + re.sub(r"<int:\w+>", "1", operation.rule)
        for body in BODIES if operation.body else ():
            if body == b"" and 502 in operation.refuses:
                continue  # that is no fault, and here is nobody to ask
            for headers in (people.ada.headers, people.alice.headers, {}):
                reply = client.open(
                    path, method=operation.method, data=body, content_type="application/json", headers=headers
                )
                assert_ours(reply)
                allowed = {400, 401, 403, 422}
                if body == b"":  # where none is needed it is none
                    allowed |= {200, 404} if operation.body_optional else {404}
                assert reply.status_code in allowed, (operation.name, body[:50], reply.data)
                tried += 1
        if operation.body:
            reply = client.open(
                path, method=operation.method, data=b"{}", content_type="text/plain", headers=people.ada.headers
            )
            assert (reply.status_code, reply.json["code"]) == (415, "json_expected")
            too_big = b" " * (2 * BIG + 1)
            reply = client.open(
                path, method=operation.method, data=too_big, content_type="application/json", headers=people.ada.headers
            )
            assert (reply.status_code, reply.json["code"]) == (413, "body_too_large")
    assert tried

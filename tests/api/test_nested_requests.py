"""A request inside somebody's open block, on the same thread: the block stays his, to save or to take back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask

from billing_db import atomic, execute, fetch_one, get_db
from tests.cast import SECRET, Person

CONSUMPTION = "/api/v1/billing/consumption?month=2026-05"


def rename(url: str, person: Person, name: str) -> None:
    execute(get_db(url), "UPDATE users SET name = :name WHERE id = :id", name=name, id=person.id)


def stored_name(person: Person) -> str:
    return str(fetch_one(person.db, "SELECT name FROM users WHERE id = :id", id=person.id)["name"])


@pytest.mark.parametrize("path", [CONSUMPTION, "/api/v1/billing/readyz", "/api/v1/billing/nowhere", "/broken"])
def test_a_request_inside_a_block_leaves_it_open(
    make_app: Callable[..., Flask], url: str, alice: Person, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(PROPAGATE_EXCEPTIONS=False)
    app.add_url_rule("/broken", "broken", lambda: 1 // 0)
    client = app.test_client()
    with atomic(get_db(url)):
        rename(url, alice, "renamed")
        client.get(path, headers=alice.headers)
        rename(url, alice, "renamed twice")
    assert stored_name(alice) == "renamed twice"
    assert "left open" not in caplog.text


def test_the_block_can_still_be_taken_back_whole(make_app: Callable[..., Flask], url: str, alice: Person) -> None:
    client = make_app().test_client()
    with pytest.raises(ZeroDivisionError), atomic(get_db(url)):  # noqa: PT012
        rename(url, alice, "renamed")
        assert client.get(CONSUMPTION, headers=alice.headers).status_code == 200
        raise ZeroDivisionError
    assert stored_name(alice) == "alice"


def test_one_app_may_ask_another_inside_its_block(make_app: Callable[..., Flask], url: str, alice: Person) -> None:
    inner, outer = make_app().test_client(), make_app()

    @outer.get("/rename")
    def rename_and_look() -> str:
        with atomic(get_db(url)):
            rename(url, alice, "renamed")
            assert inner.get(CONSUMPTION, headers=alice.headers).status_code == 200
        return "done"

    assert outer.test_client().get("/rename").status_code == 200
    assert stored_name(alice) == "renamed"


def test_a_context_pushed_inside_a_block_leaves_it_open(
    make_app: Callable[..., Flask], url: str, alice: Person
) -> None:
    """As a job does that renders a page or makes a URL."""
    app = make_app()
    with atomic(get_db(url)):
        rename(url, alice, "renamed")
        with app.test_request_context():
            assert app.url_for("turf_saas_billing.healthz", _external=True).endswith("/healthz")
    assert stored_name(alice) == "renamed"


def test_what_a_hosts_hook_before_ours_left_open_is_its_requests(
    url: str, alice: Person, caplog: pytest.LogCaptureFixture
) -> None:
    from api_v1 import billing_bp

    app = Flask("host")
    app.config.update(TESTING=True, TURF_SAAS_DB=url, JWT_SECRET_KEY=SECRET)

    @app.before_request
    def forgetful() -> None:
        get_db(url).execute("BEGIN")
        rename(url, alice, "never said")

    app.register_blueprint(billing_bp)
    app.add_url_rule("/", "home", lambda: "home")
    assert app.test_client().get("/").status_code == 200
    assert "left open: rolled back" in caplog.text
    assert stored_name(alice) == "alice"

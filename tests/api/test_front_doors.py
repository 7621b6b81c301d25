"""The two front doors, `Billing(app)` and `app.register_blueprint(billing_bp)`: one set-up, once per app."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Blueprint, Flask
from flask.testing import FlaskClient
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

import billing_db
from api_v1 import Billing, billing_bp
from tests.cast import SECRET, token_for

ROOT = Path(__file__).parents[2]
PREFIX = "/api/v1/billing"
ALICE = {"Authorization": f"Bearer {token_for(1)}"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "billing.db"


@pytest.fixture
def bare(path: Path) -> Callable[..., Flask]:
    """An app that does not know billing yet."""

    def make(**config: Any) -> Flask:
        app = Flask("host")
        app.config.update({"TESTING": True, "TURF_SAAS_DB": path, "JWT_SECRET_KEY": SECRET, **config})
        return app

    return make


def by_extension(app: Flask, **options: Any) -> None:
    Billing(app, **options)


def by_late_extension(app: Flask, **options: Any) -> None:
    Billing(**options).init_app(app)


def by_blueprint(app: Flask, **options: Any) -> None:
    app.register_blueprint(billing_bp, **options)


DOORS = [by_extension, by_late_extension, by_blueprint]


def month_of(client: FlaskClient | Client, prefix: str = PREFIX) -> Any:
    reply = client.get(f"{prefix}/consumption?month=2026-05", headers=ALICE)
    assert reply.status_code == 200, reply.text
    return reply.json


# -- one set-up ------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", DOORS)
def test_each_door_opens_on_the_same_routes(bare: Callable[..., Flask], door: Callable[..., None]) -> None:
    app = bare()
    door(app)
    assert month_of(app.test_client())["user_id"] == 1
    assert "turf_saas_billing.consumption" in app.view_functions


@pytest.mark.parametrize("first", DOORS)
@pytest.mark.parametrize("second", DOORS)
def test_a_second_registration_is_one_clear_sentence(
    bare: Callable[..., Flask], first: Callable[..., None], second: Callable[..., None]
) -> None:
    app = bare()
    first(app)
    with pytest.raises(RuntimeError, match=r"^billing is registered on this app already: [^\n]* once$"):
        second(app)
    assert month_of(app.test_client())["user_id"] == 1


def test_a_second_registration_under_another_name_is_refused_too(bare: Callable[..., Flask]) -> None:
    app = bare()
    by_blueprint(app)
    with pytest.raises(RuntimeError, match="registered on this app already"):
        by_blueprint(app, name="again", url_prefix="/again")
    assert app.test_client().get("/again/healthz").status_code == 404


def test_another_extension_of_the_same_name_is_left_alone(bare: Callable[..., Flask]) -> None:
    app = bare()
    app.extensions["billing"] = theirs = object()
    with pytest.raises(RuntimeError, match="taken by another extension"):
        by_blueprint(app)
    assert app.extensions["billing"] is theirs


@pytest.mark.parametrize("door", DOORS)
def test_hooks_go_in_by_either_door(bare: Callable[..., Flask], door: Callable[..., None]) -> None:
    app = bare()
    door(app, user_loader=lambda: 7)
    reply = app.test_client().get(f"{PREFIX}/consumption")
    assert reply.json["user_id"] == 7


def test_a_mistyped_hook_is_refused() -> None:
    with pytest.raises(TypeError, match="user_laoder"):
        Billing(user_laoder=lambda: 7)  # type: ignore[call-arg]


def test_a_mistyped_or_useless_hook_is_refused_by_the_blueprint_too(bare: Callable[..., Flask]) -> None:
    app = bare()
    with pytest.raises(TypeError, match="knows no option 'user_laoder'"):
        app.register_blueprint(billing_bp, user_laoder=lambda: 7)
    with pytest.raises(TypeError, match="user_loader= takes a function, not 3"):
        app.register_blueprint(billing_bp, user_loader=3)
    with pytest.raises(TypeError, match="is_admin= takes a function"):
        Billing(app, is_admin=[1])  # type: ignore[arg-type]
    assert "billing" not in app.extensions


def test_a_prefix_begins_with_a_slash(bare: Callable[..., Flask]) -> None:
    with pytest.raises(ValueError, match="must begin with a slash"):
        bare().register_blueprint(billing_bp, url_prefix="saas")
    with pytest.raises(ValueError, match="holds a variable"):
        bare().register_blueprint(billing_bp, url_prefix="/<tenant>/billing")


def test_the_blueprint_is_one_object_wherever_it_is_imported_from() -> None:
    import api_v1.blueprint
    import api_v1.routes.billing

    assert api_v1.routes.billing.billing_bp is api_v1.blueprint.billing_bp is billing_bp


# -- where it is mounted ---------------------------------------------------------------------------


@pytest.mark.parametrize("door", DOORS)
def test_another_prefix_moves_every_route_and_every_answer(
    bare: Callable[..., Flask], door: Callable[..., None]
) -> None:
    app = bare()
    door(app, url_prefix="/saas/")
    client = app.test_client()
    assert month_of(client, "/saas")["user_id"] == 1
    assert client.get("/saas/nothing").json["code"] == "not_found"
    assert client.post("/saas/consumption").json["code"] == "method_not_allowed"
    assert client.get(f"{PREFIX}/consumption").status_code == 404
    assert client.get(f"{PREFIX}/consumption").mimetype == "text/html"


@pytest.mark.parametrize("prefix", ["", "/", "//"])
@pytest.mark.parametrize("door", [by_extension, by_blueprint])
def test_the_whole_site_is_not_a_prefix(bare: Callable[..., Flask], door: Callable[..., None], prefix: str) -> None:
    app = bare()
    with pytest.raises(ValueError, match="needs a prefix of its own"):
        door(app, url_prefix=prefix)
    door(app)
    assert month_of(app.test_client())["user_id"] == 1


def test_inside_a_blueprint_of_the_host_the_prefixes_add_up(bare: Callable[..., Flask]) -> None:
    app = bare()
    area = Blueprint("area", "host", url_prefix="/area")
    area.register_blueprint(billing_bp, url_prefix="/billing", user_loader=lambda: 7)
    app.register_blueprint(area)
    client = app.test_client()
    assert month_of(client, "/area/billing")["user_id"] == 7
    assert client.get("/area/billing/nothing").json["code"] == "not_found"
    assert client.delete("/area/billing/consumption").json["code"] == "method_not_allowed"
    assert client.get("/area/nothing").mimetype == "text/html"


def test_a_subdomain_of_its_own_may_be_billings_whole(bare: Callable[..., Flask]) -> None:
    app = Flask("host", subdomain_matching=True)
    app.config.update(bare().config, SERVER_NAME="example.test")
    app.register_blueprint(billing_bp, url_prefix="/", subdomain="billing")
    client = app.test_client()
    ours = client.get("/consumption", headers=ALICE, base_url="http://billing.example.test")
    assert ours.json["user_id"] == 1
    wrong = client.post("/consumption", base_url="http://billing.example.test")
    assert (wrong.status_code, wrong.headers["Allow"]) == (405, "GET")
    assert client.get("/consumption", base_url="http://example.test").mimetype == "text/html"


@pytest.mark.parametrize("host", ["example.test", "another.test:8080", "localhost"])
def test_a_server_name_changes_nothing(bare: Callable[..., Flask], host: str) -> None:
    app = bare(SERVER_NAME="example.test")
    by_blueprint(app)
    client = app.test_client()
    assert client.get(f"{PREFIX}/consumption", headers=ALICE, base_url=f"http://{host}").status_code == 200
    assert client.put(f"{PREFIX}/consumption", base_url=f"http://{host}").status_code == 405
    assert client.get(f"{PREFIX}/nothing", base_url=f"http://{host}").status_code == 404


def test_below_a_path_of_a_larger_site_it_answers_the_same(bare: Callable[..., Flask]) -> None:
    app = bare(APPLICATION_ROOT="/shop")
    by_blueprint(app)
    site = Client(DispatcherMiddleware(Flask("front").wsgi_app, {"/shop": app.wsgi_app}))
    assert month_of(site, f"/shop{PREFIX}")["user_id"] == 1
    assert site.get(f"/shop{PREFIX}/nothing").json["code"] == "not_found"
    assert site.post(f"/shop{PREFIX}/consumption").headers["Allow"] == "GET"
    assert site.get(f"{PREFIX}/consumption").mimetype == "text/html"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "INVENTED"])
def test_every_other_method_is_a_405_in_json(bare: Callable[..., Flask], method: str) -> None:
    app = bare()
    by_blueprint(app)
    reply = app.test_client().open(f"{PREFIX}/consumption", method=method)
    assert (reply.status_code, reply.json["code"]) == (405, "method_not_allowed")
    assert reply.headers["Allow"] == "GET"


def test_options_names_the_methods_of_the_path_and_no_others(bare: Callable[..., Flask]) -> None:
    app = bare()
    by_blueprint(app)
    reply = app.test_client().options(f"{PREFIX}/consumption")
    assert (reply.status_code, reply.headers["Allow"], reply.data) == (204, "GET", b"")
    assert app.test_client().options(f"{PREFIX}/nothing").status_code == 404


# -- several apps ----------------------------------------------------------------------------------


def test_a_factory_called_twice_gives_two_apps_of_their_own(tmp_path: Path, bare: Callable[..., Flask]) -> None:
    billing = Billing()

    def create_app(name: str) -> FlaskClient:
        app = bare(TURF_SAAS_DB=tmp_path / f"{name}.db", BILLING_DEFAULT_PLAN=name)
        billing.init_app(app)
        return app.test_client()

    free, pro = create_app("free"), create_app("pro")
    assert month_of(free)["plan"] == "free"
    assert month_of(pro)["plan"] == "pro"
    with billing_db.connect(str(tmp_path / "free.db")) as db:
        db.execute("INSERT INTO consumption_log (user_id, date, api_calls) VALUES (1, '2026-05-20', 3)")
    db.close()
    assert month_of(free)["consumption"]["total_api_calls"] == 3
    assert month_of(pro)["consumption"]["total_api_calls"] == 0


def test_one_app_may_use_each_door_when_another_app_uses_the_other(bare: Callable[..., Flask], tmp_path: Path) -> None:
    one, other = bare(), bare(TURF_SAAS_DB=tmp_path / "other.db")
    by_blueprint(one)
    by_extension(other, url_prefix="/saas", user_loader=lambda: 7)
    assert month_of(one.test_client())["user_id"] == 1
    assert month_of(other.test_client(), "/saas")["user_id"] == 7
    assert one.test_client().get("/saas/healthz").status_code == 404


def test_an_app_context_kept_open_around_requests_mixes_no_callers_up(bare: Callable[..., Flask]) -> None:
    app = bare()
    by_blueprint(app)
    client = app.test_client()
    bob = {"Authorization": f"Bearer {token_for(2)}"}
    with app.app_context():  # as a host's own tests may do
        ours = [client.get(f"{PREFIX}/consumption", headers=headers) for headers in (ALICE, bob, {}, ALICE)]
        told = [client.get(f"{PREFIX}/x", headers={"Accept-Language": tongue}).json["error"] for tongue in ("fr", "en")]
    assert [reply.json.get("user_id") for reply in ours] == [1, 2, None, 1]
    assert told == ["Introuvable.", "Not found."]


# -- what registration does not do -----------------------------------------------------------------


def test_registration_and_health_touch_no_database(bare: Callable[..., Flask], path: Path) -> None:
    app = bare()
    by_blueprint(app)
    assert app.test_client().get(f"{PREFIX}/healthz").json == "ok"
    assert app.test_client().get(f"{PREFIX}/nothing").status_code == 404
    assert app.test_client().get(f"{PREFIX}/consumption").status_code == 401
    assert not path.exists()
    month_of(app.test_client())
    assert path.exists()


def run_python(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("BILLING_", "TURF_SAAS_"))}
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_importing_billing_brings_in_only_what_a_host_needs(tmp_path: Path) -> None:
    program = """
import sys
from flask import Flask
from api_v1 import Billing
app = Flask("host")
app.config["TURF_SAAS_DB"] = "billing.db"
Billing(app)
heavy = {"stripe", "fpdf", "flasgger", "pytest", "dotenv", "psycopg", "flask_login", "flask_sqlalchemy", "wsgi"}
print(sorted(heavy & sys.modules.keys()))
"""
    done = run_python(f"import os, sys; sys.path.insert(0, {str(ROOT)!r}); os.chdir({str(tmp_path)!r})" + program)
    assert (done.stdout, done.stderr, done.returncode) == ("[]\n", "", 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("door", ["Billing(Flask('host'))", "Flask('host').register_blueprint(billing_bp)"])
def test_a_host_without_a_database_setting_gets_one_sentence_and_stops(door: str) -> None:
    done = run_python(f"from flask import Flask\nfrom api_v1 import Billing, billing_bp\n{door}")
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr.startswith("billing: TURF_SAAS_DB is not set")
    assert done.stderr.count("\n") == 1


def test_flask_run_stops_with_that_sentence_too(tmp_path: Path) -> None:
    lines = ["from flask import Flask", "from api_v1 import Billing", "app = Flask('host')", "Billing(app)"]
    (tmp_path / "app.py").write_text("\n".join(lines))
    program = f"import sys; sys.argv = ['flask', '--app', {str(tmp_path / 'app.py')!r}, 'run', '--port', '0']\n"
    done = run_python(program + "from flask.cli import main; main()")
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1].startswith("billing: TURF_SAAS_DB is not set")
    assert "Traceback" not in done.stderr


def test_the_environment_may_name_the_database(path: Path) -> None:
    program = "from flask import Flask\nfrom api_v1 import Billing\nBilling(app := Flask('host'))\n"
    done = run_python(program + "print(app.test_client().get('/api/v1/billing/readyz').status)", TURF_SAAS_DB=str(path))
    assert (done.stdout, done.stderr) == ("200 OK\n", "")


# -- when the settings are read --------------------------------------------------------------------


def test_settings_are_read_at_registration(bare: Callable[..., Flask]) -> None:
    app = bare(BILLING_LIMIT_FREE_API_CALLS="10")
    by_blueprint(app)
    app.config["BILLING_LIMIT_FREE_API_CALLS"] = "20"
    assert month_of(app.test_client())["consumption"]["limit_api_calls"] == 10


def test_a_database_named_after_registration_is_refused_and_none_is_written(
    bare: Callable[..., Flask], path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = bare()
    by_blueprint(app)
    app.config["TURF_SAAS_DB"] = tmp_path / "other.db"
    reply = app.test_client().get(f"{PREFIX}/consumption", headers=ALICE)
    assert (reply.status_code, reply.json["code"]) == (503, "database_refused")
    assert "TURF_SAAS_DB was changed after billing had been registered" in caplog.text
    assert list(tmp_path.iterdir()) == []
    app.config["TURF_SAAS_DB"] = str(path)
    assert month_of(app.test_client())["user_id"] == 1


@pytest.mark.parametrize(
    ("config", "env"),
    [
        ({"TESTING": True}, "testing"),
        ({"DEBUG": True}, "development"),
        ({}, "production"),
        ({"TESTING": True, "BILLING_ENV": "production"}, "production"),
    ],
)
def test_the_kind_of_run_follows_the_host(path: Path, config: dict[str, Any], env: str) -> None:
    app = Flask("host")
    app.config.update({"TURF_SAAS_DB": path, **config})
    by_blueprint(app)
    assert app.extensions["billing"].settings.env == env


def test_without_auto_migration_it_waits_for_the_command(empty_url: str, bare: Callable[..., Flask]) -> None:
    app = bare(TURF_SAAS_DB=empty_url, BILLING_AUTO_MIGRATE="0")
    by_blueprint(app)
    client = app.test_client()
    for _ in range(2):
        reply = client.get(f"{PREFIX}/consumption", headers=ALICE)
        assert (reply.status_code, reply.json["code"]) == (503, "not_migrated")
        assert client.get(f"{PREFIX}/readyz").status_code == 503
    assert client.get(f"{PREFIX}/healthz").status_code == 200
    done = app.test_cli_runner().invoke(args=["billing", "migrate"])
    assert done.exit_code == 0, done.output
    assert month_of(client)["user_id"] == 1
    assert client.get(f"{PREFIX}/readyz").status_code == 200

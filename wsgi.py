"""The reference host: a small Flask app with users and login, to run and try billing without an app of one's own.

    python wsgi.py                                  development, with demo data, on 127.0.0.1:5000 (PORT)
    flask --app wsgi run · gunicorn wsgi:app · granian --interface wsgi wsgi:app        production

Production makes no demo users. Without JWT_SECRET_KEY all workers sign with a random secret that is
made once, in instance/jwt_secret: set JWT_SECRET_KEY where several machines serve together.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import tempfile
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from flask import Flask, Response, current_app, render_template_string, request
from flask.cli import ScriptInfo
from flask_jwt_extended import JWTManager
from werkzeug.serving import make_server

import billing_db
from api_v1 import apidocs, billing_bp, requires_quota
from api_v1.errors import answer_all, locale
from api_v1.runtime import Runtime, current_runtime, jwt_secret, refuse_start, settings_source
from api_v1.wire import json_response
from turf_saas import demo
from turf_saas.errors import BillingError
from turf_saas.messages import say
from turf_saas.settings import SELLER_FIELDS, secret_is_weak
from turf_saas.status import shown_database

HERE = Path(__file__).resolve().parent
HOST = "127.0.0.1"
RACES = [
    {"race": "Prix d'Amérique", "course": "Vincennes", "metres": 2_700},
    {"race": "Prix de Diane", "course": "Chantilly", "metres": 2_100},
    {"race": "Prix de l'Arc de Triomphe", "course": "ParisLongchamp", "metres": 2_400},
]


def create_app(config: dict[str, Any] | None = None) -> Flask:
    """The host. What it lacks, a database or a secret, is made in its instance folder. config wins over all else."""
    app = Flask("wsgi", root_path=str(HERE), instance_path=str(HERE / "instance"), static_folder=None)
    app.config.from_mapping(config or {})
    _fill_in(app)
    JWTManager(app)
    app.register_blueprint(billing_bp)
    answer_all(app)
    app.after_request(_private)
    app.add_url_rule("/", "home", home)
    app.add_url_rule(demo.ENDPOINT, "races", races)
    for name in ("healthz", "readyz"):
        app.add_url_rule(f"/{name}", endpoint=f"{billing_bp.name}.{name}", methods=["GET"])
    apidocs.install(app)
    return app


def __getattr__(name: str) -> Any:
    """`wsgi:app` is made when a server asks for it: importing create_app does nothing."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    _read_env_file()
    app = create_app()
    if not _is_command():
        _prepare_database(app, or_later=True)
    globals()["app"] = app
    return app


# -- what it answers -------------------------------------------------------------------------------


@requires_quota("api_calls")
def races() -> Response:
    """A call that is counted, for whoever makes it; the headers say how near the limit is, and past it comes a 429."""
    return json_response({"races": RACES})


def home() -> str:
    """What runs here, and how to try it."""
    runtime = current_runtime()
    with_demo = not runtime.settings.production and demo.is_installed(runtime.db())
    return render_template_string(
        PAGE,
        fr=locale() == "fr",
        production=runtime.settings.production,
        people=demo.PEOPLE if with_demo else (),
        password=demo.PASSWORD,
        commands=commands(request.host_url.rstrip("/")),
        prefix=runtime.prefix,
        has_docs="flasgger.apidocs" in current_app.view_functions,
    )


def commands(url: str) -> str:
    """What to type in another terminal: log in, look at the month, make a counted call."""
    billing = f"{url}{billing_bp.url_prefix}"
    return (
        f"TOKEN=$(curl -s {billing}/auth/login -H 'Content-Type: application/json' \\\n"
        f"""  -d '{{"email": "{demo.DEMO.email}", "password": "{demo.PASSWORD}"}}' \\\n"""
        """  | sed 's/.*"access_token": *"\\([^"]*\\)".*/\\1/')\n"""
        f'curl -i {billing}/consumption -H "Authorization: Bearer $TOKEN"\n'
        f'curl -i {url}{demo.ENDPOINT} -H "Authorization: Bearer $TOKEN"'
    )


def _private(response: Response) -> Response:
    if request.blueprint == billing_bp.name:  # it has seen to its own answers
        return response
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    if request.endpoint == "home":
        response.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'"
        response.vary.add("Accept-Language")
    return response


# -- starting --------------------------------------------------------------------------------------


def _fill_in(app: Flask) -> None:
    """What neither the config nor the environment says."""
    lacking: dict[str, Any] = {
        "JWT_SECRET_KEY": jwt_secret(app) or _kept_secret(Path(app.instance_path)),
        "JWT_ACCESS_TOKEN_EXPIRES": timedelta(hours=1),
        "BILLING_ACCOUNTS": "1",
    }
    for name, value in lacking.items():
        if not app.config.get(name):
            app.config[name] = os.environ.get(name) or value
    if not app.config.get("TURF_SAAS_DB") and not os.environ.get("TURF_SAAS_DB"):
        app.config["TURF_SAAS_DB"] = str(_instance(Path(app.instance_path)) / "turf_saas.db")
    _name_a_seller(app)


def _name_a_seller(app: Flask) -> None:
    """The demo's, so that invoices can be tried; whole, or not at all. Production names its own."""
    given = settings_source(app)
    if given["BILLING_ENV"] != "production" and not any(given.get(f"BILLING_SELLER_{name}") for name in SELLER_FIELDS):
        app.config.update(demo.SELLER)


def _instance(folder: Path) -> Path:
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        refuse_start(f"the folder {folder} cannot be made: {error.strerror}. TURF_SAAS_DB and JWT_SECRET_KEY spare it.")
    return folder


def _kept_secret(folder: Path) -> str:
    """The random secret of this installation, made by whichever worker comes first."""
    path = _instance(folder) / "jwt_secret"
    try:
        if not path.exists():
            _write_once(path, secrets.token_hex(32))
        secret = path.read_text().strip()
    except (OSError, ValueError) as error:
        refuse_start(f"{path} cannot be used ({error}). Mend it, or set JWT_SECRET_KEY.")
    if secret_is_weak(secret):
        refuse_start(f"{path} holds no secret of 32 bytes. Remove it, or set JWT_SECRET_KEY.")
    return secret


def _write_once(path: Path, text: str) -> None:
    """Nobody sees the file before it is whole, and the first one stays."""
    descriptor, draft = tempfile.mkstemp(dir=path.parent)  # 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        Path(draft).unlink()


def _read_env_file() -> None:
    """`.env` beside this file, under the real environment."""
    path = HERE / ".env"
    if not path.is_file():
        return
    try:
        from dotenv import load_dotenv
    except ImportError:
        click.echo(f"billing: {path} is not read: pip install python-dotenv", err=True)
        return
    try:
        load_dotenv(path)
    except (OSError, ValueError) as error:
        refuse_start(f"{path} cannot be read: {error}.")


def _is_command() -> bool:
    """True in `flask billing …` and the like: a command sees to the database itself."""
    context = click.get_current_context(silent=True)
    return context is not None and context.find_object(ScriptInfo) is not None and context.info_name != "run"


def _prepare_database(app: Flask, *, or_later: bool = False) -> None:
    """Created and migrated before anything is served.

    or_later: a server that is only away for now answers 503 until it is back. To stop would make
    gunicorn stop for good when it happens to renew a worker just then.
    """
    runtime: Runtime = app.extensions["billing"]
    try:
        if runtime.settings.auto_migrate:
            runtime.ready()
    except billing_db.DatabaseUnavailable as error:
        if not or_later:
            refuse_start(str(error))
        click.echo(f"billing: {error} Serving 503 until it answers.", err=True)
    except billing_db.DatabaseError as error:
        refuse_start(str(error))
    finally:
        billing_db.close_db()


def main() -> None:
    """`python wsgi.py`: for trying out, so in development and for this machine only."""
    _read_env_file()
    listening = _listen(os.environ.get("PORT") or "5000")
    app = create_app({"BILLING_ENV": os.environ.get("BILLING_ENV") or "development"})
    _prepare_database(app)
    port = listening.getsockname()[1]
    click.echo(_welcome(app, f"http://{HOST}:{port}"))
    server = make_server(HOST, port, app, threaded=True, fd=listening.fileno())
    server.serve_forever()


def _listen(port: str) -> socket.socket:
    if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        refuse_start(f"PORT={port!r}: must be a whole number from 0 to 65535, in digits")
    try:
        return socket.create_server((HOST, int(port)))
    except OSError as error:
        refuse_start(
            f"PORT={port}: {HOST}:{port} cannot be served: {os.strerror(error.errno or 0)}. Take another PORT."
        )


def _welcome(app: Flask, url: str) -> str:
    """Where to look and how to log in. Here the demo data is made, in a database without users."""
    runtime: Runtime = app.extensions["billing"]
    settings = runtime.settings
    lines = [f"turf_saas billing runs on {url}/ ({settings.env}, {shown_database(settings.database)})"]
    try:
        db, users = runtime.db(), runtime.users
        if not settings.production and users.ours:
            demo.install(db, runtime.now(), settings, users)
        if not settings.production and demo.is_installed(db):
            lines += [f"Log in as {person.email} with {demo.PASSWORD}" for person in (demo.DEMO, demo.ADMIN)]
            lines += ["In another terminal:", "", commands(url), ""]
    except BillingError as error:
        refuse_start(say(error.code, settings.locale, **error.params))
    except billing_db.DatabaseError as error:
        refuse_start(str(error))
    finally:
        billing_db.close_db()
    return "\n".join([*lines, "Ctrl+C stops it."])


# -- the page --------------------------------------------------------------------------------------

PAGE = """<!doctype html>
<html lang="{{ 'fr' if fr else 'en' }}">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>turf_saas billing</title>
<style>
  :root { color-scheme: light dark; --line: #8884; --soft: #8882; --green: #1a7f4b; }
  body { font: 16px/1.55 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto; padding: 0 1.2rem; }
  h1 { font-size: 1.6rem; margin: 0 0 .3rem; } h2 { font-size: 1.05rem; margin: 2.2rem 0 .5rem; }
  h1 span { color: var(--green); } a { color: var(--green); }
  pre { background: var(--soft); border: 1px solid var(--line); border-radius: 6px; padding: .8rem 1rem;
        white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem; }
  table { border-collapse: collapse; width: 100%; }
  td { border-top: 1px solid var(--line); padding: .35rem .6rem .35rem 0; vertical-align: top; }
  td:first-child { white-space: nowrap; }
  code { font-size: .9em; }
</style>
<h1>turf_saas <span>billing</span></h1>
{% if fr -%}
<p>L'application de référence : des comptes, une connexion et une route comptée, pour essayer la facturation sans
application à soi. Ce qui compte est le plugin, qui répond sous <code>{{ prefix }}</code>.</p>
{%- else -%}
<p>The reference host: accounts, a login and a metered route, to try billing without an app of one's own.
What matters is the plugin, which answers below <code>{{ prefix }}</code>.</p>
{%- endif %}
{% if people %}
<h2>{{ "Essayer" if fr else "Try it" }}</h2>
<p>{{ "Dans un terminal :" if fr else "In a terminal:" }}</p>
<pre>{{ commands }}</pre>
<table>
{% for person in people %}<tr><td><code>{{ person.email }}</code></td><td>{{ person.plan or "free" }}
{%- if person.role == "admin" %}, {{ "administratrice" if fr else "admin" }}{% endif %}</td></tr>
{% endfor %}</table>
<p>{{ "Le mot de passe est toujours" if fr else "The password is always" }} <code>{{ password }}</code>.</p>
{% elif production %}
<p>{{ "En production : aucun compte de démonstration." if fr else "In production: there are no demo accounts." }}
{{ "Le premier compte :" if fr else "The first account:" }}</p>
<pre>flask --app wsgi billing admin create you@example.com</pre>
{% endif %}
<h2>{{ "Adresses" if fr else "Addresses" }}</h2>
<table>
{% if has_docs %}<tr><td><a href="/apidocs/">/apidocs/</a></td>
<td>{{ "toutes les routes, à lire et à essayer" if fr else "every route, to read and to try" }}</td></tr>{% endif %}
<tr><td><a href="{{ prefix }}/openapi.json">{{ prefix }}/openapi.json</a></td>
<td>{{ "les mêmes pour les programmes" if fr else "the same for programs" }}</td></tr>
<tr><td><code>{{ prefix }}/consumption</code></td>
<td>{{ "le mois de l'appelant, face aux limites de son offre" if fr else
       "the caller's month against the plan's limits" }}</td></tr>
<tr><td><code>/api/demo/races</code></td>
<td>{{ "une route comptée : un appel de plus à chaque fois" if fr else
       "a metered route: one more call each time" }}</td></tr>
<tr><td><a href="/healthz">/healthz</a>, <a href="/readyz">/readyz</a></td>
<td>{{ "le service répond, la base est prête" if fr else "the service answers, the database is ready" }}</td></tr>
</table>
</html>
"""

if __name__ == "__main__":
    main()

"""A Flask-SQLAlchemy app with Flask-Login, whose table is `user` and whose keys are texts, takes billing in.

    pip install flask-sqlalchemy flask-login
    flask --app examples.sqlalchemy_login run

Then open http://127.0.0.1:5000, log in as nina@example.com with the password `course`, and follow the link to
/api/v1/billing/consumption: it answers for whoever is logged in.

Billing keeps its tables in the same SQLite file; each points at `user.id` with the type that column has.
The data is made in `instance/`, or in the folder that EXAMPLE_FOLDER names.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

from flask import Flask, redirect, render_template_string, request, url_for
from flask_login import LoginManager, UserMixin, login_required, login_user, logout_user
from flask_sqlalchemy import SQLAlchemy
from werkzeug.security import check_password_hash, generate_password_hash

from api_v1 import Billing

db = SQLAlchemy()
login_manager = LoginManager()
billing = Billing()

PAGE = """<!doctype html>
<html lang="en"><title>Races</title>
{% if current_user.is_authenticated %}
<p>Hello {{ current_user.email }}. <a href="{{ url_for('turf_saas_billing.consumption') }}">My consumption</a>
<form method="post" action="{{ url_for('logout') }}"><button>Log out</button></form>
{% else %}
<form method="post" action="{{ url_for('login') }}">
<label>E-mail <input name="email" type="email"></label>
<label>Password <input name="password" type="password"></label>
<button>Log in</button>{% if wrong %} Wrong e-mail or password.{% endif %}
</form>
{% endif %}"""


class User(UserMixin, db.Model):  # type: ignore[name-defined, misc]
    __tablename__ = "user"
    id = db.Column(db.String(36), primary_key=True, default=lambda: str(uuid.uuid4()))
    email = db.Column(db.String(255), unique=True, nullable=False)
    password_hash = db.Column(db.String(255), nullable=False)


def create_app(folder: Path | None = None) -> Flask:
    folder = (folder or Path(os.environ.get("EXAMPLE_FOLDER", "instance"))).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    app = Flask("sqlalchemy_login")
    app.config["SECRET_KEY"] = os.environ.get("SECRET_KEY") or os.urandom(32)
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{folder / 'sqlalchemy_login.db'}"
    db.init_app(app)
    login_manager.init_app(app)
    with app.app_context():
        db.create_all()  # before billing's first use: that is when it looks for the table
        enter_nina()

    app.add_url_rule("/", view_func=home)
    app.add_url_rule("/login", view_func=login, methods=["POST"])
    app.add_url_rule("/logout", view_func=logout, methods=["POST"])

    app.config["TURF_SAAS_DB"] = folder / "sqlalchemy_login.db"
    app.config["BILLING_USERS_TABLE"] = "user"
    billing.init_app(app)
    return app


# -- the app as it was before --------------------------------------------------------------------------


@login_manager.user_loader
def load_user(user_id: str) -> User | None:
    return db.session.get(User, user_id)


def enter_nina() -> None:
    if db.session.execute(db.select(User).filter_by(email="nina@example.com")).first() is None:
        db.session.add(User(email="nina@example.com", password_hash=generate_password_hash("course")))
        db.session.commit()


def home() -> Any:
    return render_template_string(PAGE)


def login() -> Any:
    email, password = request.form.get("email", ""), request.form.get("password", "")
    user = db.session.execute(db.select(User).filter_by(email=email)).scalar_one_or_none()
    if user is None or not check_password_hash(user.password_hash, password):
        return render_template_string(PAGE, wrong=True), 401
    login_user(user)
    return redirect(url_for("home"))


@login_required
def logout() -> Any:
    logout_user()
    return redirect(url_for("home"))

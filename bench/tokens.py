"""Access tokens of the measured users, made as a host's login makes them."""

from __future__ import annotations

from datetime import timedelta

from flask import Flask
from flask_jwt_extended import JWTManager, create_access_token

SECRET = "a-secret-for-measuring-only-0123456789abcdef"


def make_tokens(users: int, count: int) -> list[str]:
    """One token per user, round and round: every one is another text."""
    app = Flask("login")
    app.config["JWT_SECRET_KEY"] = SECRET
    JWTManager(app)
    with app.app_context():
        return [
            create_access_token(
                str(number % users + 1), expires_delta=timedelta(hours=1), additional_claims={"plan": "premium"}
            )
            for number in range(count)
        ]

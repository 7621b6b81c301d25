"""The page /apidocs of the reference host: flasgger's, showing the document that the routes are made into."""

from __future__ import annotations

from typing import Any

from flask import Flask
from jinja2 import ChoiceLoader, DictLoader

from api_v1 import openapi

# flasgger's own head asks fonts.googleapis.com: whoever reads the documentation would be reported there.
HEAD = """<meta charset="UTF-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<link rel="stylesheet" href="{{ swagger_ui_css }}">
<link rel="icon" type="image/png" href="{{ favicon }}">
<style>body { margin: 0; background: #fafafa; }</style>
"""


def install(app: Flask) -> None:
    """Add the page, where flasgger is installed. A plugin's host has its own documentation: only wsgi.py calls this."""
    try:
        from flasgger import Swagger
    except ImportError:
        return
    runtime = app.extensions["billing"]
    app.jinja_loader = ChoiceLoader([DictLoader({"flasgger/head.html": HEAD}), *filter(None, [app.jinja_loader])])
    shown = openapi.as_3_0(openapi.document(runtime.operations, runtime.prefix))
    Swagger(app, config=_config(), template=shown)


def _config() -> dict[str, Any]:
    """Made anew for each app: flasgger writes into what it is given."""
    return {
        "title": openapi.TITLE,
        "openapi": "3.0.3",
        "uiversion": 3,
        "specs_route": "/apidocs/",
        "static_url_path": "/apidocs/static",
        "oauth_redirect": "/apidocs/oauth2-redirect.html",
        # All the paths come with the template: flasgger has no docstring to look for.
        "specs": [{"endpoint": "apispec", "route": "/apispec.json", "rule_filter": _none, "model_filter": _none}],
        "headers": [],
        "auth": {},
        "hide_top_bar": True,
    }


def _none(_: Any) -> bool:
    return False

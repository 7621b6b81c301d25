"""A host with one more route, which sends back what it understood: to try on it what no route of ours takes yet.

`python -m tests.api.hostile_host DATABASE` serves it and prints its port.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any, Literal

from flask import Flask
from pydantic import Field
from werkzeug.serving import WSGIRequestHandler, make_server

from api_v1 import billing_bp
from api_v1.schemas import MAX_INT, Input, MonthText, Text, UserIdIn
from api_v1.wire import json_response, read_body, read_query
from tests.cast import SECRET

PREFIX = "/api/v1/billing"
ECHO = f"{PREFIX}/echo"


class Part(Input):
    metric: Text
    quantity: Annotated[int, Field(ge=-MAX_INT - 1, le=MAX_INT)]


class Thing(Input):
    text: Annotated[Text, Field(max_length=1000)] | None = None
    count: Annotated[int, Field(ge=0, le=MAX_INT)] | None = None
    ratio: float | None = None
    flag: bool | None = None
    kind: Literal["soft", "hard"] | None = None
    month: MonthText | None = None
    user_id: UserIdIn | None = None
    free: dict[str, Any] | None = None
    parts: Annotated[list[Part], Field(max_length=3)] = Field(default=[])


class ThingQuery(Input):
    text: Text | None = None
    word: str | None = None  # a str by itself, as somebody will write it some day


def echo() -> Any:
    query = read_query(ThingQuery)
    thing = read_body(Thing)
    return json_response({"query": query.text, "body": thing.model_dump(exclude_unset=True)})


def make_host(url: str, **config: Any) -> Flask:
    app = Flask("hostile")
    app.config.update({"TURF_SAAS_DB": url, "JWT_SECRET_KEY": SECRET, **config})
    app.register_blueprint(billing_bp)
    # An endpoint of the blueprint's name: its error handlers and headers are this route's as well.
    app.add_url_rule(ECHO, "turf_saas_billing.echo", echo, methods=["POST"])
    return app


class _Silent(WSGIRequestHandler):
    def log(self, *_: Any) -> None:
        pass


if __name__ == "__main__":
    with make_server("127.0.0.1", 0, make_host(sys.argv[1]), threaded=True, request_handler=_Silent) as server:
        print(server.port, flush=True)
        server.serve_forever()

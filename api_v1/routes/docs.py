"""The documentation that programs read."""

from __future__ import annotations

from typing import Any

from flask import request

from api_v1 import openapi
from api_v1.routing import route
from api_v1.runtime import current_runtime


@route("GET", "/openapi.json", summary="This document: OpenAPI 3.1", who="anyone", returns=dict[str, Any])
def openapi_json() -> Any:
    runtime = current_runtime()
    if runtime.document is None:
        runtime.document = openapi.document(runtime.operations, runtime.prefix)
    return openapi.with_servers(runtime.document, request.script_root + runtime.prefix)

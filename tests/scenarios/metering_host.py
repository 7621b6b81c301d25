"""A host with counted routes of its own, for gunicorn to serve."""

from __future__ import annotations

import os

from tests.api.metered_host import make_host

app = make_host(os.environ["TURF_SAAS_DB"])

"""Uses the installed package as a host's app would, from a folder that holds nothing of the checkout."""

from importlib.metadata import requires
from importlib.resources import files
from pathlib import Path

from flask import Flask

import api_v1
import billing_db
from api_v1 import billing_bp

HERE = Path.cwd()
assert not any(HERE.iterdir()), "this folder should be empty"
for module in (api_v1, billing_db):
    assert "site-packages" in str(module.__file__), f"{module.__file__} is not the installed one"

data = {
    path.name for folder in ("turf_saas", "api_v1") for path in Path(str(files(folder))).rglob("*") if path.is_file()
}
assert {"py.typed", "0001_foundation.sql"} <= data, data

needs = {name for name in requires("turf-saas") or [] if "extra ==" not in name}
assert not any(name.startswith(("pytest", "flasgger", "python-dotenv")) for name in needs), needs

app = Flask("host")
app.config.update(TURF_SAAS_DB=str(HERE / "app.db"), JWT_SECRET_KEY="a-secret-of-this-check-0123456789abcdef")
app.register_blueprint(billing_bp)
assert not (HERE / "app.db").exists(), "registering touches no database"

client = app.test_client()
answer = client.get("/api/v1/billing/healthz")
assert (answer.status_code, answer.json) == (200, "ok"), answer.text
answer = client.get("/api/v1/billing/readyz")
assert answer.status_code == 200, answer.text
answer = client.get("/api/v1/billing/consumption")
assert answer.status_code == 401, answer.text
assert '"unauthenticated"' in answer.text, answer.text
assert (HERE / "app.db").exists()
print(f"{len(data)} kinds of files installed, the database made, the API answers")

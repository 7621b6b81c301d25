"""Who may import whom, who may ask a database, who may look at a clock."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from tests.house.sources import Source, called_name, calls, functions, parameters

MAY_IMPORT = {
    "billing_db.py": set(),
    "turf_saas": {"billing_db"},
    "api_v1": {"billing_db", "turf_saas"},
    "wsgi.py": {"billing_db", "turf_saas", "api_v1"},
}
OURS = {"billing_db", "turf_saas", "api_v1", "wsgi", "tests", "bench", "examples"}
# Names of the reference that billing_db hands out on demand, so that code written against it finds them there.
KEPT_FOR_THE_REFERENCE = {("billing_db.py", "turf_saas")}

WEB = {"flask", "flask_jwt_extended", "flask_login", "werkzeug", "jinja2", "click", "jwt"}
NEVER_IN_THE_PLUGIN = {"flasgger", "dotenv", "pytest"}
# The reference host's page about the API, and what a host's own tests use. Nothing else imports these.
APART = {("api_v1/apidocs.py", "flasgger"), ("api_v1/testing.py", "pytest")}
# Stripe on loopback judges requests by the SDK's own types.
JUDGES_BY_THE_SDK = "api_v1/stripe_fake/"
ONLY_WHEN_USED = {"stripe", "fpdf", "psycopg", "prometheus_client", "flask_login", "flasgger", "playwright"}


@dataclass(frozen=True)
class Import:
    module: str
    node: ast.AST
    at_the_top: bool
    dynamic: bool = False

    @property
    def package(self) -> str:
        return self.module.split(".")[0]


def imports(source: Source) -> Iterator[Import]:
    top = set(map(id, source.tree.body))
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node, id(node) in top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            inside = node.level > 0  # a relative import stays in its own layer
            yield Import(_own_package(source) if inside else str(node.module), node, id(node) in top)
        elif isinstance(node, ast.Call) and called_name(node) in {"import_module", "__import__"} and node.args:
            yield Import(_start_of_text(node.args[0]), node, False, dynamic=True)


def _own_package(source: Source) -> str:
    return source.room.removesuffix(".py")


def _start_of_text(node: ast.expr) -> str:
    """What a literal or an f-string begins with; "?" when a name decides."""
    if isinstance(node, ast.JoinedStr) and node.values:
        node = node.values[0]
    return str(node.value) if isinstance(node, ast.Constant) else "?"


def imports_upwards(source: Source) -> list[str]:
    allowed = MAY_IMPORT[source.room] | {_own_package(source)}
    return [
        source.at(found.node, f"imports {found.module}: layers import downward only")
        for found in imports(source)
        if found.package in OURS - allowed
        and not (found.dynamic and (source.path, found.package) in KEPT_FOR_THE_REFERENCE)
    ]


def foreign_imports(source: Source) -> list[str]:
    """Packages that a layer has no business with, and those that must wait until they are used."""
    breaches = []
    for found in imports(source):
        name = found.package
        if name in NEVER_IN_THE_PLUGIN and source.room != "wsgi.py" and (source.path, name) not in APART:
            breaches.append(source.at(found.node, f"imports {name}, which is the reference host's or the tests'"))
        elif name == "stripe" and "gateway" not in source.path and not source.path.startswith(JUDGES_BY_THE_SDK):
            breaches.append(source.at(found.node, "imports stripe: only the gateway does"))
        elif name in WEB and source.room in {"turf_saas", "billing_db.py"}:
            breaches.append(source.at(found.node, f"imports {name}: the domain knows nothing of the web"))
        elif source.room == "billing_db.py" and name not in {*sys.stdlib_module_names, *OURS, "psycopg", "?"}:
            breaches.append(source.at(found.node, f"imports {name}: the standard library and psycopg are enough"))
        elif name in ONLY_WHEN_USED and found.at_the_top and source.room != "wsgi.py":
            breaches.append(source.at(found.node, f"imports {name} at the top: import it where it is used"))
    return breaches


ASKS_A_DATABASE = {"execute", "executemany", "executescript", "fetch_one", "fetch_all", "run_script", "cursor"}
SQL = re.compile(
    r"\s*(SELECT\s|INSERT\s+(OR\s+\w+\s+)?INTO\s|UPDATE\s+\w+\s+SET\s|DELETE\s+FROM\s|CREATE\s+(TABLE|INDEX|VIEW)\s"
    r"|ALTER\s+TABLE\s|DROP\s+\w+\s|PRAGMA\s|WITH\s+\w+\s+AS\s|BEGIN\b|COMMIT\b|ROLLBACK\b|SAVEPOINT\s)"
)


def asks_a_database(source: Source) -> list[str]:
    """SQL, or a function that takes SQL, where only the domain should be asked."""
    breaches = []
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and called_name(node) in ASKS_A_DATABASE:
            breaches.append(source.at(node, f"calls {called_name(node)}(): ask the domain instead"))
        elif isinstance(node, ast.ImportFrom) and node.module == "billing_db":
            names = sorted({alias.name for alias in node.names} & ASKS_A_DATABASE)
            breaches += [source.at(node, f"imports {name} of billing_db") for name in names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.match(node.value):
            breaches.append(source.at(node, f"holds SQL: {node.value.strip()[:40]!r}"))
    return breaches


CLOCKS = {
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
    "time": {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "localtime", "gmtime", "sleep"},
}
CLOCK_OF_SQL = re.compile(r"\bCURRENT_(TIMESTAMP|DATE|TIME)\b|\bnow\(\)|'now'", re.I)
# A column's default, for rows that another program writes: our own statements always give the instant.
MAY_LET_SQL_LOOK = "turf_saas/schema/"


def looks_at_a_clock(source: Source) -> list[str]:
    """`now` is handed in, so that a test can choose it and one decision sees one instant."""
    breaches = []
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute):
            owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            if node.attr in CLOCKS.get(owner, ()):
                breaches.append(source.at(node, f"looks at {owner}.{node.attr}: take `now` as a parameter"))
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            breaches.append(source.at(node, "imports from time: take `now` as a parameter"))
        elif _asks_sql_for_the_time(node) and not source.path.startswith(MAY_LET_SQL_LOOK):
            breaches.append(source.at(node, "lets SQL look at the clock: give it :now"))
    return breaches


def _asks_sql_for_the_time(node: ast.AST) -> bool:
    text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
    return bool(SQL.match(text) and CLOCK_OF_SQL.search(text))


EFFECTS = ("db", "now", "gateway")


def hides_its_effects(source: Source) -> list[str]:
    """`db`, `now`, `gateway`: first, in this order, so that a signature tells what the call can do."""
    breaches = []
    for function in functions(source.tree):
        names = parameters(function)
        effects = [name for name in EFFECTS if name in names]
        if "db" in names and names[: len(effects)] != effects:
            breaches.append(source.at(function, f"{function.name}(…) must begin with {', '.join(effects)}"))
    return breaches


def _is_cents(node: ast.AST) -> bool:
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    return name.endswith("_cents") or name == "cents"


def floats_money(source: Source) -> list[str]:
    """Money is an integer: no `/` and no float() on anything called cents."""
    breaches = [
        source.at(node, "divides cents with /: that makes a float")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Div)
        and (_is_cents(node.left) or _is_cents(node.right))
    ]
    floats = (call for call in calls(source.tree) if called_name(call) in {"float", "round"})
    breaches += [
        source.at(call, f"{called_name(call)}() of cents") for call in floats if any(map(_is_cents, call.args))
    ]
    return breaches


def reckons_money(source: Source) -> list[str]:
    """The HTTP layer shows amounts; the domain reckons them."""
    return [
        source.at(node, "reckons with cents: that is the domain's")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.BinOp) and (_is_cents(node.left) or _is_cents(node.right))
    ]

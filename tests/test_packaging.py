"""What is declared is what is used: dependencies, extras, data files. `.ci/run` uses the built wheel elsewhere."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

from tests.house.layers import OURS, imports
from tests.house.sources import ROOT, python_files

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FIXED = {"flask", "flask-jwt-extended", "flasgger", "stripe", "pytest", "python-dotenv"}
OF_THE_HOST_AND_THE_TESTS = {"flasgger", "pytest", "python-dotenv"}
# Modules whose package is called otherwise, or comes with another one.
PACKAGE_OF = {
    "fpdf": "fpdf2",
    "dotenv": "python-dotenv",
    "flask_jwt_extended": "flask-jwt-extended",
    "flask_login": "flask-login",
    "prometheus_client": "prometheus_client",
    "werkzeug": "flask",
    "click": "flask",
    "jinja2": "flask",
    "itsdangerous": "flask",
    "blinker": "flask",
    "markupsafe": "flask",
    "jsonschema": "flasgger",
    "jwt": "flask-jwt-extended",
    "pydantic_core": "pydantic",
    "annotated_types": "pydantic",
}
# Asked only whether the host has it: a plugin brings no login of its own.
ONLY_IF_THE_HOST_HAS_IT = {"flask-login"}


def named(lines: list[str]) -> dict[str, str]:
    """Package -> what is demanded of it."""
    found = (re.fullmatch(r"([\w-]+)(?:\[[\w,]+\])?(.*)", line.strip()) for line in lines if line.strip())
    return {match[1].lower(): match[2] for match in found if match}


REQUIREMENTS = named((ROOT / "requirements.txt").read_text().splitlines())
DEPENDENCIES = named(PROJECT["project"]["dependencies"])
EXTRAS = named([line for lines in PROJECT["project"]["optional-dependencies"].values() for line in lines])


def test_the_requirements_are_the_fixed_packages_and_what_the_plugin_needs_with_the_same_bounds() -> None:
    assert set(REQUIREMENTS) == FIXED | set(DEPENDENCIES)
    assert {name: REQUIREMENTS[name] for name in DEPENDENCIES} == DEPENDENCIES
    assert all(bound.startswith(">=") for bound in REQUIREMENTS.values())


def test_a_host_gets_only_what_the_plugin_needs_at_run_time() -> None:
    assert not OF_THE_HOST_AND_THE_TESTS & set(DEPENDENCIES)


def packages_used(*rooms: str) -> set[str]:
    modules = {found.package for source in python_files(*rooms) for found in imports(source)}
    ours = {"billing_db", "turf_saas", "api_v1", "wsgi", "?"}
    return {PACKAGE_OF.get(name, name) for name in modules - ours - sys.stdlib_module_names}


def test_everything_that_the_plugin_imports_is_declared() -> None:
    used = packages_used("billing_db.py", "turf_saas", "api_v1")
    comes_with_stripe = {"typing_extensions"}  # its types are read with that
    assert (
        used - set(DEPENDENCIES) - set(EXTRAS) - ONLY_IF_THE_HOST_HAS_IT <= {"flasgger", "pytest"} | comes_with_stripe
    )


def test_everything_that_the_reference_host_imports_is_in_the_requirements() -> None:
    assert packages_used("wsgi.py") - {"prometheus_client"} <= set(REQUIREMENTS)


def test_a_newcomer_can_import_every_test() -> None:
    """With requirements.txt alone: what else a test uses, it imports where it uses it, or is left out with a reason."""
    modules = {
        (source.path, PACKAGE_OF.get(found.package, found.package))
        for source in python_files("tests")
        for found in imports(source)
        if found.at_the_top and found.package not in {*sys.stdlib_module_names, *OURS}
    }
    assert {(path, package) for path, package in modules if package not in REQUIREMENTS} == set()


def test_the_extras_are_among_what_the_checks_install() -> None:
    assert named(PROJECT["dependency-groups"]["dev"]).items() >= EXTRAS.items()


@pytest.mark.parametrize("package", ["turf_saas", "api_v1"])
def test_every_file_of_a_package_is_packed(package: str) -> None:
    patterns = PROJECT["tool"]["setuptools"]["package-data"][package]
    packed = {path for pattern in patterns for path in (ROOT / package).glob(pattern)}
    there = {path for path in (ROOT / package).rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {path for path in there if path.suffix != ".py"} - packed == set()
    assert all((folder / "__init__.py").exists() for folder in {path.parent for path in there if path.suffix == ".py"})


def test_what_is_packed_is_found_beside_the_code_and_not_by_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from turf_saas import schema

    monkeypatch.chdir(tmp_path)
    assert schema.migrations("sqlite")

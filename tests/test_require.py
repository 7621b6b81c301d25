"""A test that is left out is a fault where everything is installed, and only there."""

from __future__ import annotations

import pytest

from tests import require


def skipped(reason: str) -> pytest.TestReport:
    where = ("tests/x.py", 3, f"Skipped: {reason}")
    return pytest.TestReport("tests/x.py::test_x", ("tests/x.py", 3, "test_x"), {}, "skipped", where, "call")


@pytest.mark.parametrize(
    ("required", "reason", "outcome"),
    [
        ("", "no PostgreSQL here", "skipped"),
        ("postgres", "no Chromium here", "skipped"),
        ("all", "no PostgreSQL here", "failed"),
        ("all", "no Stripe test key", "skipped"),
    ],
)
def test_a_skip_is_judged_by_what_the_run_requires(
    monkeypatch: pytest.MonkeyPatch, required: str, reason: str, outcome: str
) -> None:
    monkeypatch.setattr(require, "REQUIRED", frozenset({required}))
    assert require.judged(skipped(reason)).outcome == outcome


def test_a_test_that_passed_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(require, "REQUIRED", frozenset({"all"}))
    report = pytest.TestReport("tests/x.py::test_x", ("tests/x.py", 3, "test_x"), {}, "passed", None, "call")
    assert require.judged(report).outcome == "passed"


@pytest.mark.parametrize(("required", "raised"), [("", pytest.skip.Exception), ("chromium", pytest.fail.Exception)])
def test_what_is_required_fails_instead_of_being_left_out(
    monkeypatch: pytest.MonkeyPatch, required: str, raised: type[BaseException]
) -> None:
    monkeypatch.setattr(require, "REQUIRED", frozenset({required}))
    with pytest.raises(raised, match="not installed"):
        require.without("chromium", "Chromium is not installed")
